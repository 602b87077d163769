//! Writes the CustomResourceDefinitions as YAML to the file given as the argument, or to standard
//! output.

use std::{env, error::Error, fs, io::Write};

fn main() -> Result<(), Box<dyn Error>> {
    let yaml = lodestone_crds::to_yaml()?;
    match env::args_os().nth(1) {
        Some(path) => fs::write(path, yaml)?,
        None => std::io::stdout().write_all(yaml.as_bytes())?,
    }
    Ok(())
}
