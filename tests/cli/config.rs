//! `pouw check-config`: explains a file, or lists everything that is wrong with it.

use serde_json::Value;

use crate::support::cli::{Sandbox, text};

const GOOD: &str = "\
rate_limit = 60 # a comment
floor_ms = [0, 4_000, 7_500]
listen = \"127.0.0.1:0\"

[[route_overrides]]
name = \"upload\"
rate_limit = 5
window_ms = 1_000
routes = [\"POST /echo\"]
";

fn file(content: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("pouw.toml", content);
    sandbox
}

/// The lines on stderr about a file that is refused.
fn wrong(sandbox: &Sandbox) -> Vec<String> {
    let said = sandbox.refused(1, "check-config pouw.toml", &[]);
    let lines = said.lines().map(|line| line.trim_start_matches("pouw: "));
    lines.map(|line| line.strip_prefix("pouw.toml:").unwrap_or_else(|| panic!("{said}")).to_owned()).collect()
}

fn wrong_lines(sandbox: &Sandbox) -> usize {
    sandbox.refused(1, "check-config pouw.toml", &["the first 100"]).lines().count()
}

#[test]
fn a_valid_file_is_explained_setting_by_setting() {
    let said = file(GOOD).ok("check-config pouw.toml");
    for line in [
        "pouw.toml can be served: 4 of",
        "\n  rate_limit = 60 requests  (line 1; default 100)\n",
        "\n  window_ms = 60000 ms  (default)\n",
        "\n  floor_ms = [0, 4000, 7500] ms  (line 2; default [1500, 4000, 7500])\n",
        "\n  listen = \"127.0.0.1:0\"  (line 3; default \"127.0.0.1:3000\")\n",
        "name = \"upload\", rate_limit = 5",
        "(line 5; default [])",
        "\n  paid_admissions_per_prefix = 480 requests  (default)\n",
        "\n  secret_file = none  (default)\n",
        "\n  on_store_failure = \"refuse\"  (default)\n",
        "Allowed: 1 to 1000000.",
        "\nwarning: floor_ms: ",
        "\nnote: trusted_proxies: ",
    ] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert!(!file("").ok("check-config pouw.toml").contains("warning"), "the defaults carry a warning");
}

#[test]
fn every_setting_is_a_member_of_the_document() {
    let document = file(GOOD).json("check-config pouw.toml");
    assert_eq!((&document["valid"], &document["file"]), (&true.into(), &"pouw.toml".into()));
    let settings = document["settings"].as_array().unwrap();
    let row = |name: &str| settings.iter().find(|row| row["name"] == name).unwrap();
    for key in pouw::settings::KEYS {
        let row = row(key.name);
        assert_eq!((&row["unit"], &row["rule"]), (&key.unit.into(), &key.rule.into()));
        assert!(row["meaning"].as_str().unwrap().len() > 10, "{row}");
    }
    assert_eq!((&row("rate_limit")["value"], &row("rate_limit")["default"]), (&60.into(), &100.into()));
    assert_eq!((&row("rate_limit")["source"], &row("rate_limit")["line"]), (&"file".into(), &1.into()));
    assert_eq!((&row("window_ms")["source"], &row("window_ms")["line"]), (&"default".into(), &Value::Null));
    assert_eq!(row("route_overrides")["value"][0]["name"], "upload");
    assert_eq!(document["warnings"][0]["key"], "floor_ms");
    assert_eq!(document["notes"][0]["key"], "trusted_proxies");
}

#[test]
fn everything_wrong_is_told_in_the_order_of_the_file() {
    let sandbox = file(
        "rate_limt = 5
window_ms = \"60\"
judge_threads = 0
trusted_proxies = [\"10.0.0.0/8\", \"10.0.0.1\"]
identifier_strategy = \"custom\"
listen = 3000
token_ttl_seconds = 5
[[route_overrides]]
name = \"a\"
limit = 5
[[route_overrides]]
name = \"B\"
rate_limit = 0
window_ms = 1
routes = [\"/x\", \"y\", \"/x\"]
",
    );
    let said = wrong(&sandbox);
    let expected = [
        "1:1: `rate_limt`: unknown setting; did you mean `rate_limit`?",
        "2:13: `window_ms` is \"60\": invalid type: string \"60\", expected u64; allowed: 1 to 86400000",
        "3:17: `judge_threads` is 0: it must be from 1 to 64",
        "4:34: `trusted_proxies` is \"10.0.0.1\": ",
        "5:23: `identifier_strategy` is \"custom\": ",
        "6:1: `listen`: ",
        "7:21: `token_ttl_seconds` is 5: it does not fit `floor_ms`, which is 7500: it must be below the token's lifetime",
        "10:1: `route_overrides[0]` is limit: unknown field `limit`",
        "12:8: `route_overrides[1].name` is B: ",
        "13:14: `route_overrides[1].rate_limit` is 0: ",
        "15:17: `route_overrides[1].routes[1]` is y: ",
        "15:22: `route_overrides[1].routes[2]` is /x: each route must be given once",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}\nis not\n{expected}");
    }
    let output = sandbox.run("check-config pouw.toml --json");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &document["valid"]), (Some(1), &false.into()));
    let third = &document["wrong"][2];
    assert_eq!((&third["line"], &third["column"]), (&3.into(), &17.into()));
    assert_eq!((&third["key"], &third["value"]), (&"judge_threads".into(), &"0".into()));
    assert_eq!(third["message"], "it must be from 1 to 64");
    assert!(text(&output.stderr).contains("pouw.toml:3:17"));
}

#[test]
fn a_name_like_none_of_ours_is_no_mistyped_one() {
    let said = wrong(&file("foo = 1\n"));
    assert_eq!(said, ["1:1: `foo`: unknown setting; see: pouw check-config --help"]);
    let said = wrong(&file("on_store_failure = \"stop\"\n"));
    assert_eq!(said, ["1:1: `on_store_failure`: expected \"refuse\" or \"exit\""]);
}

#[test]
fn what_is_no_toml_is_told_by_line_and_column() {
    for (content, expected) in [
        ("rate_limit = 5\nrate_limit = 6\n", "2:1: `rate_limit`: duplicate key"),
        ("rate_limit = \n", "1:14: `rate_limit`: "),
        ("window_ms = 1 2\n", "1:13: `window_ms`: "),
        ("# \u{e9}\u{e9}\nlisten = \"\u{e9}\u{e9}\" x\n", "2:15: `listen`: "),
        ("rate_limit\n", "1:11: "),
        ("[route_overrides\n", "1:17: "),
    ] {
        let said = wrong(&file(content));
        assert!(said[0].starts_with(expected), "{content:?}: {said:?} is not {expected:?}");
    }
    let keys: String = (0..100_000).map(|at| format!("k{at}=1\n")).collect();
    assert_eq!(wrong_lines(&file(&keys)), 101);
    assert!(wrong_lines(&file(&"k k\n".repeat(200_000))) <= 101);
    let deep = format!("exempt_routes = {}", "[".repeat(100_000));
    assert!(!wrong(&file(&deep)).is_empty());
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    for content in [
        "hmac_secret = \"correct-horse\"\n",
        "previous_secrets = [\"correct-horse\"]\n",
        "secret = \"correct-horse\"\n",
        "hmac_secret = \"correct-horse\n",
        "hmac_secret = correct-horse\n",
        "[hmac_secret]\nvalue = \"correct-horse\"\n",
    ] {
        for arguments in ["check-config pouw.toml", "check-config pouw.toml --json", "serve --db db --config pouw.toml"]
        {
            let sandbox = file(content);
            let output = sandbox.run(arguments);
            let said = text(&output.stderr) + &text(&output.stdout);
            assert_eq!(output.status.code(), Some(1), "{content}{arguments}: {said}");
            assert!(said.contains("secret") && !said.contains("horse"), "{content}{arguments}: {said}");
        }
    }
    assert!(wrong(&file("hmac_secret = \"x\"\n"))[0].contains("secret_file"));
}

#[cfg(unix)]
#[test]
fn the_secret_files_are_checked_as_the_server_would() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    let secret = |name: &str, content: &str, mode| {
        sandbox.write(name, content);
        std::fs::set_permissions(sandbox.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    sandbox.write("etc/pouw.toml", "secret_file = \"new\"\nprevious_secret_files = [\"old\", \"older\"]\n");
    let refused = |says: &[&str]| sandbox.refused(1, "check-config etc/pouw.toml", says);
    refused(&[
        "1:15: `secret_file` is etc/new: ",
        "does not exist",
        "2:25: `previous_secret_files` is etc/old: ",
        "is etc/older",
    ]);
    secret("etc/new", &"n".repeat(32), 0o644);
    secret("etc/old", "short", 0o600);
    secret("etc/older", &"n".repeat(32), 0o600);
    refused(&["chmod 600", "5 bytes"]);
    secret("etc/new", &"n".repeat(32), 0o600);
    secret("etc/old", &"o".repeat(32), 0o600);
    refused(&["`previous_secret_files` is etc/older: each secret must be given once"]);
    secret("etc/older", &"p".repeat(32), 0o600);
    let said = sandbox.ok("check-config etc/pouw.toml");
    assert!(said.contains("secret_file = \"new\"") && !said.contains("nnnn"), "{said}");
}

#[test]
fn a_strategy_that_needs_a_host_is_warned_of() {
    let said = file("identifier_strategy = \"api_key\"\n").ok("check-config pouw.toml");
    assert!(said.contains("warning: identifier_strategy: pouw serve does not authenticate users"), "{said}");
}

#[test]
fn wrong_calls_and_files_that_cannot_be_read_end_as_elsewhere() {
    let sandbox = file("");
    sandbox.refused(2, "check-config", &["<FILE>"]);
    sandbox.refused(2, "check-config a b", &["'b'"]);
    sandbox.refused(1, "check-config absent.toml", &["absent.toml", "name a configuration file"]);
    sandbox.refused(1, "check-config .", &["name a configuration file"]);
    sandbox.refused(1, "serve --db db --config absent.toml", &["absent.toml"]);
    sandbox.write("latin1.toml", b"# a\nlisten = \"\xe9\"\n");
    sandbox.refused(1, "check-config latin1.toml", &["line 2 is not UTF-8"]);
    sandbox.write("huge.toml", "#".repeat((1 << 20) + 1));
    sandbox.refused(1, "check-config huge.toml", &["1048576"]);
    let output = sandbox.run("check-config absent.toml --json");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["error"].as_str().unwrap().contains("absent.toml"));
    assert!(!sandbox.path("db").exists());
}

#[test]
fn the_help_shows_a_file_that_is_valid() {
    let sandbox = Sandbox::new();
    let help = sandbox.ok("check-config --help");
    let (_, rest) = help.split_once("Every line is optional:\n").unwrap();
    let (example, _) = rest.split_once("\n\nExit codes:").unwrap();
    sandbox.write("pouw.secret", "s".repeat(32));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(sandbox.path("pouw.secret"), mode).unwrap();
    }
    sandbox.write("pouw.toml", example);
    assert!(!sandbox.ok("check-config pouw.toml").contains("warning"));
    assert!(sandbox.ok("serve --help").contains("--config <FILE>"));
    assert!(sandbox.ok("--help").contains("check-config"));
}
