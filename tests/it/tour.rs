//! The three lines that a newcomer pastes.

use std::process::Command;

use crate::support::AllInOne;

#[tokio::test]
async fn the_printed_tour_works_when_pasted() -> anyhow::Result<()> {
    let data_dir = tempfile::tempdir()?;
    let mut all = AllInOne::start(data_dir.path()).await?;
    all.process.output("the tour's last line", |line| line.contains("/inventory/orders").then_some(())).await?;
    let printed = all.process.stdout();
    let tour: Vec<&str> = printed.iter().map(|line| line.trim()).filter(|line| line.contains("curl -sS")).collect();
    assert_eq!(tour.len(), 3, "{printed:#?}");

    let script = tour.join("\n");
    let output =
        tokio::task::spawn_blocking(move || Command::new("sh").args(["-eu", "-c", &script]).output()).await??;
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{answer}{}", String::from_utf8_lossy(&output.stderr));
    assert!(answer.contains(r#""username":"ada""#) && answer.contains(r#""status":"confirmed""#), "{answer}");
    Ok(())
}
