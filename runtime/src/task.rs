//! Tasks that end with their owner.

use tokio::task::JoinHandle;

/// A task of the runtime; dropping this ends it.
#[derive(Debug)]
#[must_use = "dropping a task ends it"]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Waits for its end. A task that panicked counts as ended.
    pub async fn join(&mut self) {
        // The process's panic hook has told why already.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a task.
#[expect(clippy::disallowed_methods, reason = "this is the place that the others are sent to")]
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(work))
}
