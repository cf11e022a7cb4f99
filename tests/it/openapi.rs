//! `openapi.yaml` is what the code says, and has every route.

use std::fs;
use std::path::Path;
use std::process::Command;

use sequor::api::openapi;

/// With `SEQUOR_BLESS=1` the file is written anew.
#[test]
fn the_committed_description_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.yaml");
    let generated = openapi::yaml();
    if std::env::var_os("SEQUOR_BLESS").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "openapi.yaml is not what the code says: run with SEQUOR_BLESS=1");
    let printed = Command::new(env!("CARGO_BIN_EXE_sequor")).arg("openapi").output().unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), generated);
}

/// A route that is added by `routes!` is in the description and answers; so that is the only way.
#[test]
fn every_route_is_added_with_its_description() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api")];
    let mut handlers = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for way in [".route(", ".route_service(", ".nest(", ".nest_service("] {
                assert!(
                    !text.contains(way),
                    "{}: `{way}` adds a route without a description",
                    path.display()
                );
            }
            handlers += text.matches("#[utoipa::path(").count();
        }
    }
    let document = openapi::document();
    let operations = document.paths.paths.values().map(|path| {
        let all = [&path.get, &path.put, &path.post, &path.delete, &path.patch];
        all.into_iter().flatten().count()
    });
    assert_eq!(operations.sum::<usize>(), handlers, "a handler that is described is not among the routes");
}
