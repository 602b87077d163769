//! Tasks that end with their owner.

use tokio::task::JoinHandle;

/// A task of the async runtime. Dropping this value aborts the task.
#[derive(Debug)]
#[must_use = "dropping a task aborts it"]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Waits until the task has ended. A task that panicked counts as ended.
    pub async fn join(&mut self) {
        // The panic hook of the process has already reported a panic.
        let _ = (&mut self.0).await;
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts a task.
#[expect(
    clippy::disallowed_methods,
    reason = "clippy.toml refers all other code to this function"
)]
pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Task {
    Task(tokio::spawn(work))
}
