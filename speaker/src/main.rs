//! The program `speaker`.
#![forbid(unsafe_code)]

use anyhow::Result;
use clap::Parser;
use lodestone_runtime::log;
use lodestone_speaker::{SpeakerArgs, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = SpeakerArgs::parse();
    log::start(args.common.log_level, args.common.log_format);
    run(args).await
}
