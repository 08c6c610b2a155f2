//! The command line: which part runs, and the flags that stand for variables.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use common::config::Env;

/// Where the account of variables stands that `--help` ends with.
const VARIABLES: &str = include_str!("variables.txt");

/// Runs the gateway, the user service and the inventory service in one process, on an embedded DynamoDB.
///
/// With a command, runs that part alone, as in production.
#[derive(Debug, Parser)]
#[command(version, after_help = VARIABLES, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Args {
    /// The part to run alone.
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
    /// Directory of the embedded store and of the signing secret; made if it is not there; variable DATA_DIR [default: data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The gateway's configuration; variable GATEWAY_CONFIG [default: conf/gateway.yaml, or the copy inside this program]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect; variable GATEWAY_LISTEN [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDR")]
    gateway_listen: Option<SocketAddr>,
    /// Where the gateway's metrics and state are shown; variable GATEWAY_ADMIN [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR")]
    gateway_admin: Option<SocketAddr>,
    /// Where the user service listens; variable USER_SERVICE_ADDR [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    user_service: Option<SocketAddr>,
    /// Where the inventory service listens; variable INVENTORY_SERVICE_ADDR [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDR")]
    inventory_service: Option<SocketAddr>,
}

/// One part of the system.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// The edge gateway alone; its configuration says where the services are
    #[command(args_conflicts_with_subcommands = true)]
    Gateway {
        /// The gateway's configuration; variable GATEWAY_CONFIG [default: conf/gateway.yaml, or the copy inside this program]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Only checks the configuration, and says everything that is wrong with it
        #[arg(long)]
        check: bool,
        /// What it does instead of serving.
        #[command(subcommand)]
        task: Option<GatewayTask>,
    },
    /// Reads a key of the gateway's `api_keys` from standard input, and prints the hash that stands in the configuration
    HashKey,
    /// Asks for a password of the gateway's `basic_auth`, or reads it from standard input, and prints the hash that stands in the
    /// configuration
    HashPassword,
    /// The embedded DynamoDB alone, for parts that run alone on this machine; asks nobody for credentials
    Store {
        /// Directory of its files; made if it is not there; variable DATA_DIR [default: data]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// Where it listens
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8002")]
        listen: SocketAddr,
    },
    /// The user service alone; needs a DynamoDB
    UserService,
    /// The inventory service alone; needs a DynamoDB
    InventoryService,
}

/// What the gateway does instead of serving, as its own program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum GatewayTask {
    /// Reads a key of `api_keys` from standard input, and prints the hash that stands in the configuration
    HashKey,
    /// Asks for a password of `basic_auth`, or reads it from standard input, and prints the hash that stands in the configuration
    HashPassword,
}

impl Args {
    /// The variables as the flags change them: a flag wins over the variable that stands for the same thing.
    pub(crate) fn over(&self, env: Env) -> Env {
        let config = match &self.part {
            Some(Part::Gateway { config, .. }) => config,
            _ => &self.config,
        };
        let data_dir = match &self.part {
            Some(Part::Store { data_dir, .. }) => data_dir,
            _ => &self.data_dir,
        };
        let flags = [
            ("DATA_DIR", data_dir.as_ref().map(|dir| dir.display().to_string())),
            ("GATEWAY_CONFIG", config.as_ref().map(|file| file.display().to_string())),
            ("GATEWAY_LISTEN", self.gateway_listen.map(|addr| addr.to_string())),
            ("GATEWAY_ADMIN", self.gateway_admin.map(|addr| addr.to_string())),
            ("USER_SERVICE_ADDR", self.user_service.map(|addr| addr.to_string())),
            ("INVENTORY_SERVICE_ADDR", self.inventory_service.map(|addr| addr.to_string())),
        ];
        let given = flags.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.fold(env, |env, (name, value)| env.with(name, value))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn a_flag_wins_over_its_variable() {
        let env = Env::default().with("DATA_DIR", "/from/variable").with("GATEWAY_LISTEN", "127.0.0.1:1");
        let args = Args::try_parse_from(["order-processor", "--data-dir", "/from/flag"]).expect("valid");
        let env = args.over(env);
        assert_eq!(env.get("DATA_DIR"), Some("/from/flag"));
        assert_eq!(env.get("GATEWAY_LISTEN"), Some("127.0.0.1:1"));
    }

    #[test]
    fn the_gateway_alone_takes_its_own_configuration() {
        let args = Args::try_parse_from(["order-processor", "gateway", "--config", "/etc/g.yaml"]).expect("valid");
        assert_eq!(args.over(Env::default()).get("GATEWAY_CONFIG"), Some("/etc/g.yaml"));
    }

    #[test]
    fn hashes_are_made_with_and_without_the_word_gateway() {
        for (words, expected) in [
            (&["gateway", "hash-key"][..], GatewayTask::HashKey),
            (&["gateway", "hash-password"], GatewayTask::HashPassword),
        ] {
            let args = Args::try_parse_from([&["order-processor"], words].concat()).expect("valid");
            let Some(Part::Gateway { task, .. }) = args.part else { panic!("{words:?}: {:?}", args.part) };
            assert_eq!(task, Some(expected));
        }
        let args = Args::try_parse_from(["order-processor", "hash-key"]).expect("valid");
        assert!(matches!(args.part, Some(Part::HashKey)));
        assert!(Args::try_parse_from(["order-processor", "gateway", "--check", "hash-key"]).is_err());
    }

    #[test]
    fn every_variable_of_the_services_stands_in_the_help_and_in_the_readme() {
        let help = Args::command().render_long_help().to_string();
        let texts = [("the help", help.as_str()), ("the README", include_str!("../README.md"))];
        for variables in [user_service::VARIABLES, inventory_service::VARIABLES] {
            let words = variables.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            // AWS' own are every AWS tool's, and explained there.
            let is_ours = |word: &&str| word.contains('_') && !word.starts_with("AWS_");
            for name in words.filter(is_ours).filter(|word| *word == word.to_uppercase()) {
                for (where_to, text) in texts {
                    assert!(text.contains(name), "{name} is missing in {where_to}");
                }
            }
        }
    }

    #[test]
    fn the_command_line_has_no_contradictions() {
        Args::command().debug_assert();
    }
}
