//! Vector's own configurations are read: with `QD_VECTOR_REPO` naming a checkout of Vector 0.58, all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use qd_logs_config::{ConfigPath, Format, Interpolation, LoadOptions, Loaded, load, resolve};

fn repository() -> Option<PathBuf> {
    match std::env::var_os("QD_VECTOR_REPO") {
        Some(path) => Some(PathBuf::from(path)),
        None => {
            println!("skipped: QD_VECTOR_REPO does not name a checkout of Vector 0.58");
            None
        }
    }
}

fn read(paths: &[ConfigPath]) -> Loaded {
    // Variables stay as they are, which is Vector's default.
    let options = LoadOptions {
        interpolation: Interpolation::Off,
        allow_empty: true,
    };
    load(paths, &options).unwrap_or_else(|e| panic!("{paths:?}: {e}"))
}

fn below(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, found);
        } else if Format::of_path(&path).is_some() {
            found.push(path);
        }
    }
    found.sort();
}

#[test]
fn generated_examples() {
    let Some(repository) = repository() else { return };
    let mut files = Vec::new();
    below(&repository.join("website/generated/example-configs"), &mut files);
    assert!(files.len() >= 252, "{}", files.len());
    for file in files {
        if std::fs::read_to_string(&file).unwrap().contains("SECRET[") {
            // Those that name a secret name no backend: Vector refuses them as they stand, too.
            let failed = load(&[ConfigPath::File(file, None)], &LoadOptions::default()).unwrap_err();
            assert_eq!(failed.errors.len(), 1);
            assert!(
                failed.to_string().contains("is not configured under `secret`"),
                "{failed}"
            );
            continue;
        }
        let config = read(&[ConfigPath::File(file.clone(), None)]).config;
        assert_eq!(
            config.components().count() + config.enrichment_tables.len(),
            1,
            "{}",
            file.display()
        );
        let spec = config.components().next().unwrap();
        let kind = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(spec.kind, kind, "{}", file.display());
    }
}

#[test]
fn example_configurations() {
    let Some(repository) = repository() else { return };
    let examples = repository.join("config/examples");
    let mut count = 0;
    for entry in std::fs::read_dir(&examples).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let loaded = read(&[ConfigPath::File(path.clone(), None)]);
            resolve(&loaded.config, &|_| Ok(vec![None])).unwrap_or_else(|e| panic!("{}: {e:?}", path.display()));
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
    let loaded = read(&[ConfigPath::Dir(examples.join("namespacing"))]);
    assert_eq!(loaded.config.components().count(), 5);
    resolve(&loaded.config, &|_| Ok(vec![None])).unwrap();
}

#[test]
fn directories() {
    let Some(repository) = repository() else { return };
    for name in [
        "config-dir/globals",
        "config-dir/globals-duplicate",
        "config-dir/ignore-unknown",
    ] {
        let config = read(&[ConfigPath::Dir(repository.join("tests").join(name))]).config;
        assert_eq!((config.sources.len(), config.sinks.len()), (1, 1), "{name}");
    }
    let config = read(&[ConfigPath::Dir(repository.join("tests/namespacing/success"))]).config;
    assert!(config.transforms.contains_key("apache_parser"));
    assert!(config.sources.contains_key("apache_logs") && config.sources.contains_key("generator"));
    assert!(config.sinks.contains_key("es_cluster"));
    assert_eq!(config.tests.len(), 2);
    read(&[ConfigPath::Dir(repository.join("tests/namespacing/ignore-invalid"))]);
}

#[test]
fn behaviour_tests() {
    let Some(repository) = repository() else { return };
    let mut files = Vec::new();
    below(&repository.join("tests/behavior/transforms"), &mut files);
    below(&repository.join("tests/behavior/formats"), &mut files);
    below(&repository.join("tests/data/cmd/config"), &mut files);
    assert!(files.len() >= 14, "{}", files.len());
    for file in files {
        // The tests write `$` as they mean it.
        let loaded = load(&[ConfigPath::File(file.clone(), None)], &LoadOptions::default());
        let config = loaded.unwrap_or_else(|e| panic!("{}: {e}", file.display())).config;
        for test in &config.tests {
            assert!(test.check().is_empty(), "{}: {:?}", file.display(), test.check());
        }
    }
}
