//! `qd setup`: what is configured, and what other programs want to know of the command line.

use clap::CommandFactory;

use crate::{
    Failure,
    cli::{Cli, SetupArgs, Shell},
    complain, connect, print,
};

/// `qd setup`.
pub(crate) fn run(cli: &Cli, s: &SetupArgs) -> Result<(), Failure> {
    let paths = connect::paths()?;
    let file = cli.config.clone().unwrap_or_else(|| paths.config_file());
    if s.dump_config {
        print(qd_config::default_text());
    } else if s.dump_effective {
        let loaded = qd_config::load(&file);
        print(&qd_config::dump(&loaded.config, &loaded.keymap));
    } else if let Some(name) = &s.dump_layout {
        let text = qd_config::builtin_layout(name).ok_or_else(|| {
            Failure::usage(format!(
                "there is no built-in layout {name}; there are {}",
                qd_config::builtin_layouts().join(", ")
            ))
        })?;
        print(text);
    } else if let Some(shell) = s.generate_completion {
        let shell = match shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
            Shell::Elvish => clap_complete::Shell::Elvish,
        };
        let mut out = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "qd", &mut out);
        print(&String::from_utf8_lossy(&out));
    } else if s.generate_man {
        let mut out = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut out)
            .map_err(|e| Failure::failed(format!("the man page could not be written: {e}")))?;
        print(&String::from_utf8_lossy(&out));
    } else {
        return check(&paths, &file);
    }
    Ok(())
}

fn check(paths: &qd_config::Paths, file: &std::path::Path) -> Result<(), Failure> {
    let loaded = qd_config::load(file);
    let there = if file.exists() { "" } else { " (not there: defaults)" };
    print(&format!("version    {}\n", env!("CARGO_PKG_VERSION")));
    print(&format!("config     {}{there}\n", file.display()));
    print(&format!("layouts    {}\n", paths.layout_dir().display()));
    print(&format!("themes     {}\n", paths.theme_dir().display()));
    print(&format!("state      {}\n", paths.state_dir.display()));
    print(&format!("sockets    {}\n", paths.runtime_dir.display()));
    print(&format!("theme      {}\n", loaded.config.theme));
    print(&format!("keys       {}\n", loaded.config.preset));
    let theme = qd_server::find_theme(&loaded.config.theme).err();
    let text = loaded.render();
    if text.is_empty() && theme.is_none() {
        print("the configuration is well\n");
        return Ok(());
    }
    complain(&[text, theme.unwrap_or_default()].join("\n"));
    Err(Failure::failed(
        "the configuration has errors; what is wrong keeps its default",
    ))
}
