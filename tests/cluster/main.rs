//! `cluster`: a whole Kubernetes in network namespaces, from the command line.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use lodestone_tests::{
    Binaries, Cluster, Image, Layout, ProxyMode, Spec, StateDir, images, list, supervise, take_down,
};

#[derive(Parser)]
#[command(about = "A whole Kubernetes in network namespaces of this machine", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the programs of Kubernetes that are not built yet, and print their folder
    Build,
    /// Bring a cluster up that stays until `down`
    Up {
        /// Its name
        name: String,
        /// How many workers beside the control-plane node
        #[arg(long, default_value_t = 3)]
        workers: u8,
        /// How many hosts on the LAN that are no members
        #[arg(long, default_value_t = 1)]
        clients: u8,
        /// One network for everything, or a LAN apart from the node network
        #[arg(long, value_enum, default_value_t)]
        layout: Layout,
        /// How kube-proxy works
        #[arg(long, value_enum, default_value_t)]
        proxy_mode: ProxyMode,
        /// Archives of images for every node
        #[arg(long = "image")]
        images: Vec<PathBuf>,
    },
    /// Take a cluster down
    Down {
        /// Its name
        name: String,
    },
    /// List the clusters of this machine
    List,
    /// Write an image with a static binary as its only file
    Image {
        /// Name and tag
        reference: String,
        /// The binary
        binary: PathBuf,
        /// The archive to write
        out: PathBuf,
    },
    /// Give a node its power, or take it away
    Power {
        /// The name of the cluster
        name: String,
        /// The node
        node: String,
        /// Give it (the default is to take it away)
        #[arg(long)]
        on: bool,
    },
    /// Bring a cluster up for as long as this process lives; says `up` when it is
    #[command(hide = true)]
    Hold {
        /// Its name
        name: String,
    },
    /// Stand by a cluster; started by `up`
    #[command(hide = true)]
    Supervise {
        /// Its name
        name: String,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Build => println!("{}", Binaries::provide()?.folder().display()),
        Command::Up {
            name,
            workers,
            clients,
            layout,
            proxy_mode,
            images,
        } => {
            if StateDir::of(&name).exists() {
                bail!("the cluster {name} is up already; `cluster down {name}` ends it");
            }
            let spec = Spec::new(&name)
                .layout(layout)
                .proxy_mode(proxy_mode)
                .workers(workers)
                .clients(clients)
                .images(images)
                .detached();
            let cluster = Cluster::up(spec, &std::env::current_exe()?)?;
            println!("export KUBECONFIG={}", cluster.state().kubeconfig().display());
        }
        Command::Down { name } => {
            if !StateDir::of(&name).exists() {
                bail!("there is no cluster {name}");
            }
            take_down(&name)?;
        }
        Command::List => list().iter().for_each(|name| println!("{name}")),
        Command::Image { reference, binary, out } => Image {
            reference: &reference,
            binary: &binary,
        }
        .write(&out)?,
        Command::Power { name, node, on: true } => Cluster::attach(&name)?.power_on(&node)?,
        Command::Power { name, node, on: false } => Cluster::attach(&name)?.power_off(&node)?,
        Command::Hold { name } => {
            let spec = Spec::new(&name).workers(1).images(images()?);
            let _cluster = Cluster::up(spec, &std::env::current_exe()?)?;
            println!("up");
            std::io::stdin().read_line(&mut String::new())?;
        }
        Command::Supervise { name } => supervise(&name)?,
    }
    Ok(())
}
