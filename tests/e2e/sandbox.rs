//! `make sandbox`, as a new user runs it.

use lodestone_tests::{StateDir, Tool, checkout};

#[test]
fn sandbox_starts_shows_an_answer_and_is_deleted() {
    let name = format!("sb{}", std::process::id());
    let sandbox = |what: &str| {
        let script = checkout().join("tests/sandbox.sh");
        // Without the variables that cargo sets for this test: they would cause a full rebuild.
        let is_set_by_cargo =
            |name: &String| (name.starts_with("CARGO") && name != "CARGO_HOME") || name.starts_with("LD_LIBRARY");
        let unset = std::env::vars()
            .map(|(name, _)| name)
            .filter(is_set_by_cargo)
            .flat_map(|name| ["-u".to_owned(), name]);
        let sandbox = format!("LODESTONE_SANDBOX={name}");
        Tool::new("env")
            .args(unset)
            .args([sandbox])
            .args([script])
            .args([what])
            .output()
            .unwrap()
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let up = sandbox("up");
    let (shown, progress) = (text(&up.stdout), text(&up.stderr));
    let down = || sandbox("down");
    if !up.status.success() {
        down();
        panic!("{progress}\n{shown}");
    }
    let again = sandbox("up");
    let deleted = down();
    assert!(
        shown.contains("192.168.122.111") && shown.contains("LoadBalancer"),
        "{shown}"
    );
    assert!(
        shown.contains("ALLOCATED NODE") && shown.contains("\"pod\":\"nginx-deployment-"),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("export KUBECONFIG=/run/lodestone/{name}/kubeconfig")),
        "{shown}"
    );
    assert!(text(&again.stderr).contains("up already"), "{}", text(&again.stderr));
    assert!(
        text(&deleted.stderr).contains("is gone") && !StateDir::of(&name).exists(),
        "{}",
        text(&deleted.stderr)
    );
    assert!(text(&down().stderr).contains("There is no sandbox"));
}
