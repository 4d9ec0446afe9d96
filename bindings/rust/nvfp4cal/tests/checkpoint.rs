//! The checkpoint job on a model of two layers, written and read by the safetensors crate.

use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use nvfp4cal::{Checkpoint, CheckpointFormat, Context, GptqEffort, Hessian, HessianLayout, Method, Options, Status, TensorView};
use safetensors::tensor::{serialize_to_file, Dtype, SafeTensors, TensorView as View};

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nvfp4cal-rust-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn weights(rows: usize, seed: usize) -> Vec<f32> {
    (0..rows * 64).map(|i| ((i * 37 + seed * 101) % 257) as f32 / 128.0 - 1.0).collect()
}

/// model.safetensors with two layers and a norm.
fn make_model(folder: &Path, first: &[f32]) -> PathBuf {
    let model = folder.join("model");
    std::fs::create_dir_all(&model).unwrap();
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (up, down, norm) = (bytes(first), bytes(&weights(16, 2)), bytes(&[1.0; 64]));
    let tensors = HashMap::from([
        ("model.layers.0.mlp.up_proj.weight", View::new(Dtype::F32, vec![first.len() / 64, 64], &up).unwrap()),
        ("model.layers.0.mlp.down_proj.weight", View::new(Dtype::F32, vec![16, 64], &down).unwrap()),
        ("model.norm.weight", View::new(Dtype::F32, vec![64], &norm).unwrap()),
    ]);
    serialize_to_file(tensors, None, &model.join("model.safetensors")).unwrap();
    model
}

#[test]
fn the_format_names_the_tensors() {
    let folder = Folder::new("format");
    let (model, output) = (make_model(&folder.0, &weights(32, 1)), folder.path("out"));
    let mut job = Checkpoint::new().unwrap();
    job.set_format(CheckpointFormat::CompressedTensors).unwrap();
    job.run(&model, &output).unwrap();
    let bytes = std::fs::read(output.join("model.safetensors")).unwrap();
    let made = SafeTensors::deserialize(&bytes).unwrap();
    let global_scale = made.tensor("model.layers.0.mlp.up_proj.weight_global_scale").unwrap();
    assert_eq!(global_scale.shape(), [1]);
    assert_eq!(made.tensor("model.layers.0.mlp.up_proj.weight_packed").unwrap().shape(), [32, 32]);
    assert!(job.report().unwrap().contains("\"output_format\": \"compressed-tensors\""));
}

#[test]
fn the_options_choose() {
    let folder = Folder::new("options");
    let (model, output, scales) = (make_model(&folder.0, &weights(32, 1)), folder.path("out"), folder.path("scales.json"));
    std::fs::write(&scales, "{\"model.layers.0.mlp.up_proj\": 0.5}").unwrap();
    let mut job = Checkpoint::new().unwrap();
    job.set_method(Method::FourOverSix).unwrap();
    job.add_include("*.layers.?.*").unwrap();
    job.add_exclude("*.down_proj").unwrap();
    job.add_fuse_group("*.{a,b}").unwrap();
    assert_eq!(job.add_include("{").unwrap_err().status(), Status::InvalidArgument);
    assert_eq!(job.add_include("\0").unwrap_err().status(), Status::InvalidArgument);
    job.set_input_scale(1.0).unwrap();
    assert_eq!(job.set_input_scale(-1.0).unwrap_err().status(), Status::InvalidArgument);
    job.set_input_scales_file(&scales).unwrap();
    job.set_dry_run(true).unwrap();
    job.set_detail(true).unwrap();
    job.run(&model, &output).unwrap();
    assert!(!output.exists());
    let report = job.report().unwrap();
    for part in ["\"input_scale\":0.5", "excluded (*.down_proj)", "four-over-six", "\"dry_run\": true"] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn hessians_make_other_codes() {
    let folder = Folder::new("hessians");
    let (model, hessians) = (make_model(&folder.0, &weights(32, 1)), folder.path("hessians"));
    std::fs::create_dir(&hessians).unwrap();
    let mut hessian = Hessian::new().unwrap();
    hessian.set_layout(HessianLayout::Full).unwrap();
    hessian.collect(TensorView::new(&weights(96, 3), &[96, 64]).unwrap()).unwrap();
    std::fs::write(hessians.join("model.layers.0.mlp.up_proj.hessian"), hessian.export_state().unwrap()).unwrap();
    let mut job = Checkpoint::new().unwrap();
    job.set_method(Method::Gptq).unwrap();
    let error = job.run(&model, folder.path("none")).unwrap_err();
    assert_eq!((error.status(), error.message()), (Status::InvalidArgument, "method gptq without a folder of Hessians"));
    job.set_hessians(&hessians).unwrap();
    assert_eq!(job.set_damping(-1.0).unwrap_err().status(), Status::InvalidArgument);
    let mut files = Vec::new();
    for (effort, damping) in [(GptqEffort::Default, 0.02), (GptqEffort::Fast, 0.02), (GptqEffort::Default, 0.5)] {
        job.set_effort(effort).unwrap();
        job.set_damping(damping).unwrap();
        let output = folder.path(&format!("out{}", files.len()));
        job.run(&model, &output).unwrap();
        let report: serde_json::Value = serde_json::from_str(job.report().unwrap()).unwrap();
        assert_eq!((&report["method"], &report["damping"]), (&"gptq".into(), &damping.into()));
        files.push(std::fs::read(output.join("model.safetensors")).unwrap());
    }
    assert!(files[0] != files[1] && files[0] != files[2]);
}

#[test]
fn a_model_becomes_nvfp4() {
    let folder = Folder::new("run");
    let values = weights(32, 1);
    let (model, output) = (make_model(&folder.0, &values), folder.path("out"));
    let mut seen = Vec::new();
    let mut job = Checkpoint::new().unwrap();
    assert_eq!(job.report().unwrap_err().status(), Status::NoData);
    job.set_method(Method::Mse).unwrap();
    job.set_measure_error(true).unwrap();
    job.set_context(&Context::new()).unwrap();
    job.set_progress(|progress| {
        assert!(progress.done <= progress.total);
        seen.push(progress.name.to_string());
        Ok(())
    })
    .unwrap();
    job.run(&model, &output).unwrap();
    let report: serde_json::Value = serde_json::from_str(job.report().unwrap()).unwrap();
    assert_eq!((&report["format"], &report["method"]), (&"W4A16_NVFP4".into(), &"mse".into()));
    job.reset().unwrap();
    assert_eq!(job.report().unwrap_err().status(), Status::NoData);
    drop(job);
    assert!(seen.iter().any(|name| name == "model.layers.0.mlp.up_proj.weight"), "{seen:?}");
    // the same bytes as one call writes
    let file = std::fs::read(output.join("model.safetensors")).unwrap();
    let written = SafeTensors::deserialize(&file).unwrap();
    let made = Context::new().quantize(TensorView::new(&values, &[32, 64]).unwrap(), &Options::new().method(Method::Mse)).unwrap();
    let data = |name: &str| written.tensor(&format!("model.layers.0.mlp.up_proj.{name}")).unwrap().data().to_vec();
    assert_eq!(data("weight"), made.packed.as_slice());
    assert_eq!(data("weight_scale"), made.scales.as_slice());
    assert_eq!(data("weight_scale_2"), made.global_scale.as_slice()[0].to_le_bytes());
    assert_eq!(written.tensor("model.norm.weight").unwrap().shape(), [64]);
}

#[test]
fn a_written_model_is_inspected_and_verified() {
    let folder = Folder::new("inspect");
    let (model, output) = (make_model(&folder.0, &weights(32, 1)), folder.path("out"));
    std::fs::write(model.join("config.json"), "{}").unwrap();
    let mut job = Checkpoint::new().unwrap();
    job.run(&model, &output).unwrap();
    let run: serde_json::Value = serde_json::from_str(job.report().unwrap()).unwrap();
    job.inspect(&output).unwrap();
    let report: serde_json::Value = serde_json::from_str(job.report().unwrap()).unwrap();
    assert_eq!((&report["format"], &report["totals"]["layers"]), (&"modelopt".into(), &2.into()));
    job.verify(&model, &output).unwrap();
    let report: serde_json::Value = serde_json::from_str(job.report().unwrap()).unwrap();
    assert_eq!((&report["ok"], &report["totals"]["copied"]), (&true.into(), &1.into()));
    let error = |report: &serde_json::Value| report["totals"]["relative_error"].as_f64().unwrap();
    assert!((error(&report) - error(&run)).abs() < 1e-6);
    let (other, again) = (folder.path("other"), folder.path("again"));
    assert_eq!(job.convert(&output, &other).unwrap_err().status(), Status::InvalidArgument); // it is that format
    job.set_format(CheckpointFormat::CompressedTensors).unwrap();
    job.convert(&output, &other).unwrap();
    job.set_format(CheckpointFormat::ModelOpt).unwrap();
    job.convert(&other, &again).unwrap();
    let bytes = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert!(bytes(&again) == bytes(&output) && bytes(&other) != bytes(&output));
    assert_eq!(job.verify(&model, &model).unwrap_err().status(), Status::InvalidArgument);
    assert_eq!(job.inspect(folder.path("none")).unwrap_err().status(), Status::Io);
}

#[test]
fn a_run_that_fails_leaves_nothing() {
    let folder = Folder::new("fail");
    let mut values = weights(32, 1);
    let (model, output) = (make_model(&folder.0, &values), folder.path("out"));
    let mut job = Checkpoint::new().unwrap();
    job.set_progress(|_| Err("enough".into())).unwrap();
    let error = job.run(&model, &output).unwrap_err();
    assert_eq!(error.status(), Status::Callback);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "enough");
    assert!(!output.exists());
    job.set_progress(|_| panic!("stumbled")).unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| job.run(&model, &output))).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"stumbled"));
    assert!(!output.exists());
    job.clear_progress().unwrap();
    let error = job.run(folder.path("nowhere"), &output).unwrap_err();
    assert!(error.message().contains("nowhere"), "{error}");
    assert_eq!(job.run("a\0b", &output).unwrap_err().status(), Status::InvalidArgument);
    job.run(&model, &output).unwrap();
    values[70] = f32::NEG_INFINITY;
    make_model(&folder.0, &values);
    let error = job.run(&model, folder.path("other")).unwrap_err();
    assert_eq!(error.status(), Status::NotFinite);
    assert!(error.message().contains("up_proj.weight\"[70]"), "{error}");
}

#[test]
fn another_thread_cancels() {
    let folder = Folder::new("cancel");
    let (model, output) = (make_model(&folder.0, &weights(32, 1)), folder.path("out"));
    let mut job = Checkpoint::new().unwrap();
    let canceller = job.canceller();
    canceller.cancel(); // between runs: for none
    let other = canceller.clone();
    job.set_progress(move |_| {
        let other = other.clone();
        std::thread::spawn(move || other.cancel()).join().unwrap();
        Ok(())
    })
    .unwrap();
    assert_eq!(job.run(&model, &output).unwrap_err().status(), Status::Cancelled);
    assert!(!output.exists());
    drop(job);
    canceller.cancel(); // outlives its job
}
