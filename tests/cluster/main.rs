//! `cluster`: the command line for Kubernetes clusters in network namespaces.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use lodestone_tests::{
    Binaries, Cluster, Image, Layout, ProxyMode, Spec, StateDir, images, list_clusters, supervise, take_down,
};

#[derive(Parser)]
#[command(about = "Kubernetes clusters in network namespaces of this machine", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the Kubernetes programs that are not built yet, and print their directory
    Build,
    /// Start a cluster that runs until `down`
    Up {
        /// The name of the cluster
        name: String,
        /// The number of workers, besides the control-plane node
        #[arg(long, default_value_t = 3)]
        workers: u8,
        /// The number of hosts on the LAN outside the cluster
        #[arg(long, default_value_t = 1)]
        clients: u8,
        /// A property of the networks; several may be combined, separated by commas
        #[arg(long = "layout", value_enum, value_delimiter = ',')]
        layouts: Vec<Layout>,
        /// The mode of kube-proxy
        #[arg(long, value_enum, default_value_t)]
        proxy_mode: ProxyMode,
        /// An archive of container images for every node; may be repeated
        #[arg(long = "image")]
        images: Vec<PathBuf>,
    },
    /// Take a cluster down
    Down {
        /// The name of the cluster
        name: String,
    },
    /// List the clusters of this machine
    List,
    /// Write a container image whose only file is a static binary
    Image {
        /// The name and tag of the image
        reference: String,
        /// The path of the binary
        binary: PathBuf,
        /// The archive to write
        out: PathBuf,
    },
    /// Cut or restore the power of a node
    Power {
        /// The name of the cluster
        name: String,
        /// The node
        node: String,
        /// Restore the power (the default is to cut it)
        #[arg(long)]
        on: bool,
    },
    /// Start a cluster that ends with this process; prints `up` when the cluster is up
    #[command(hide = true)]
    Hold {
        /// The name of the cluster
        name: String,
    },
    /// Supervise a cluster; `up` starts this process
    #[command(hide = true)]
    Supervise {
        /// The name of the cluster
        name: String,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Build => println!("{}", Binaries::provide()?.directory().display()),
        Command::Up {
            name,
            workers,
            clients,
            layouts,
            proxy_mode,
            images,
        } => {
            if StateDir::of(&name).exists() {
                bail!("the cluster {name} is up already; take it down first: cluster down {name}");
            }
            let spec = layouts
                .into_iter()
                .fold(Spec::new(&name), Spec::layout)
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
                bail!("no cluster is called {name}");
            }
            take_down(&name)?;
        }
        Command::List => list_clusters().iter().for_each(|name| println!("{name}")),
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
