//! Finds libnvfp4cal: in the folder that NVFP4CAL_LIB_DIR names (a build tree), else by pkg-config.
//!
//! Crates that depend on this one read the folder from DEP_NVFP4CAL_LIB_DIR in their own build script, to write it into a run path.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=NVFP4CAL_LIB_DIR");
    if std::env::var_os("DOCS_RS").is_some() {
        return; // documentation is made without the library
    }
    if let Some(folder) = std::env::var_os("NVFP4CAL_LIB_DIR") {
        use_folder(Path::new(&folder));
    } else {
        use_pkg_config();
    }
}

fn use_folder(folder: &Path) {
    let folder = match folder.canonicalize() {
        Ok(folder) if folder.join("libnvfp4cal.so").exists() => folder,
        _ => stop(&format!("NVFP4CAL_LIB_DIR is {}, where no libnvfp4cal.so is", folder.display())),
    };
    println!("cargo:rustc-link-search=native={}", folder.display());
    println!("cargo:rustc-link-lib=dylib=nvfp4cal");
    tell_folder(&folder);
}

/// Before 1.0 a minor release may change the ABI: the library has this crate's.
fn use_pkg_config() {
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    let next: u32 = minor.parse::<u32>().unwrap() + 1;
    let (first, next) = (format!("{major}.{minor}.0"), format!("{major}.{next}.0"));
    match pkg_config::Config::new().range_version(first.as_str()..next.as_str()).probe("nvfp4cal") {
        Ok(library) => {
            if let Some(folder) = library.link_paths.first() {
                tell_folder(folder);
            }
        }
        Err(error) => stop(&format!(
            "libnvfp4cal {first} or newer, older than {next}, is not known to pkg-config: install it, add its lib/pkgconfig to \
             PKG_CONFIG_PATH, or set NVFP4CAL_LIB_DIR to the folder of libnvfp4cal.so\n{error}"
        )),
    }
}

/// For dependents: `DEP_NVFP4CAL_LIB_DIR`. Tests of this crate get a run path.
fn tell_folder(folder: &Path) {
    println!("cargo:lib_dir={}", folder.display());
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.display());
}

fn stop(message: &str) -> ! {
    eprintln!("{message}");
    std::process::exit(1);
}
