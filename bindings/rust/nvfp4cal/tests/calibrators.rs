//! Every calibrator: results against plain float64 loops, merging, states, reset, errors.

use nvfp4cal::{
    ActMax, ActMaxTerm, Context, Curvature, Dtype, FloatFormat, Gptq, GptqEffort, Hessian, HessianLayout, IntRange, Max, Mse, Observed,
    Observer, ObserverFormat, ObserverKind, ObserverStrategy, Options, Reduce, Result, StateData, Status, Sweep, TensorView,
};

/// Values between -1 and 1, the same each time.
fn values(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn matrix(data: &[f32], cols: usize) -> TensorView<'_> {
    TensorView::new(data, &[data.len() / cols, cols]).unwrap()
}

fn amax(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |most, v| most.max(v.abs()))
}

fn status<T: std::fmt::Debug>(result: Result<T>) -> Status {
    result.unwrap_err().status()
}

#[test]
fn max_merges_and_keeps_its_state() {
    let (a, b) = (values(64, 1), values(96, 2));
    let mut first = Max::new().unwrap();
    assert_eq!(status(first.compute_amax()), Status::NoData);
    first.collect(matrix(&a, 32)).unwrap();
    let mut second = Max::new().unwrap();
    second.collect(matrix(&b, 32)).unwrap();
    first.merge(&second).unwrap();
    assert_eq!(first.compute_amax().unwrap().item(), Some(amax(&a).max(amax(&b))));
    let mut third = Max::new().unwrap();
    third.import_state(&first.export_state().unwrap()).unwrap();
    assert_eq!(third.compute_amax().unwrap(), first.compute_amax().unwrap());
    assert_eq!(status(third.import_state(&[1, 2, 3])), Status::Corrupt);
    assert_eq!(third.compute_amax().unwrap(), first.compute_amax().unwrap());
    assert_eq!(status(third.set_block_size(16)), Status::WrongState);
    third.reset().unwrap();
    third.set_block_size(16).unwrap();
    third.collect(matrix(&a, 32)).unwrap();
    let blocks: Vec<f32> = a.chunks(16).map(amax).collect();
    assert_eq!((third.compute_amax().unwrap().shape(), third.compute_amax().unwrap().as_slice()), (&[2, 2][..], &blocks[..]));
    let state = first.state_tensor(0).unwrap();
    assert_eq!((state.reduce, state.shape.len()), (Reduce::Max, 0));
    let StateData::F32(maxima) = state.data else { panic!("{:?}", state.data) };
    maxima[0] = 9.0; // as if another process had seen it
    assert_eq!(first.compute_amax().unwrap().item(), Some(9.0));
    assert_eq!(status(first.state_tensor(1).map(|_| ())), Status::InvalidArgument);
}

#[test]
fn sweep_equals_the_one_call() {
    let (x, weights) = (values(256, 3), values(32, 4).iter().map(|v| v.abs() + 0.1).collect::<Vec<f32>>());
    let mut max = Max::new().unwrap();
    let mut sweep = Sweep::new().unwrap();
    assert_eq!(status(sweep.set_global_amax_from(&max)), Status::NoData);
    assert_eq!(status(sweep.collect(matrix(&x, 32))), Status::WrongState);
    max.collect(&x).unwrap();
    sweep.set_global_amax_from(&max).unwrap();
    sweep.set_weights(&weights).unwrap();
    sweep.set_normalization(256).unwrap();
    sweep.set_code_window(-3, 5).unwrap();
    sweep.collect(matrix(&x, 32)).unwrap();
    let global = amax(&x);
    let options = Options::new().global_amax(&global).weights(&weights).normalization(256).code_window(-3..=5);
    assert_eq!(sweep.compute_amax().unwrap(), Context::new().scale_sweep(matrix(&x, 32), &options).unwrap());
    assert_eq!(status(sweep.collect(matrix(&x, 32))), Status::WrongState);
    sweep.reset().unwrap();
    sweep.clear_weights().unwrap();
    sweep.collect(matrix(&x, 32)).unwrap();
    let options = Options::new().global_amax(&global).normalization(256).code_window(-3..=5);
    assert_eq!(sweep.compute_amax().unwrap(), Context::new().scale_sweep(matrix(&x, 32), &options).unwrap());
    let other = Sweep::new().unwrap();
    assert_eq!(status(sweep.merge(&other)), Status::Unsupported);
    let mut copy = Sweep::new().unwrap();
    copy.import_state(&sweep.export_state().unwrap()).unwrap();
    assert_eq!(copy.compute_codes().unwrap(), sweep.compute_codes().unwrap());
    copy.reset().unwrap();
    assert_eq!(status(copy.compute_codes()), Status::NoData);
    assert_eq!(status(copy.set_block_size(17)), Status::InvalidArgument);
}

#[test]
fn the_hessian_weighted_search_minimizes_what_it_says() {
    let (x, tokens) = (values(4 * 16, 5), values(40 * 16, 6));
    let mut hessian = Hessian::new().unwrap();
    hessian.set_normalize(true).unwrap();
    hessian.set_damping(0.01).unwrap();
    hessian.collect(matrix(&tokens, 16)).unwrap();
    let h = hessian.compute_hessian().unwrap();
    let sum: f64 = (0..40).map(|t| f64::from(tokens[t * 16]) * f64::from(tokens[t * 16 + 1])).sum();
    assert_eq!(h.as_slice()[1], (sum / 40.0) as f32);
    let mut sweep = Sweep::new().unwrap();
    sweep.set_global_amax(&1.0f32).unwrap();
    sweep.set_hessian(&h).unwrap();
    sweep.collect(matrix(&x, 16)).unwrap();
    let options = Options::new().global_amax(&1.0f32);
    let found = Context::new().scale_sweep_hessian(matrix(&x, 16), &h, &options).unwrap();
    assert_eq!(sweep.compute_amax().unwrap(), found);
    sweep.reset().unwrap();
    sweep.clear_hessian().unwrap();
    sweep.collect(matrix(&x, 16)).unwrap();
    assert_eq!(sweep.compute_amax().unwrap(), Context::new().scale_sweep(matrix(&x, 16), &options).unwrap());
    // no other block amax has a smaller r^T H r
    let loss = |block: &[f32], amax: f32| {
        let scale = amax / 6.0;
        let levels = [0.0f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
        let nearest =
            |v: f32| levels.iter().copied().min_by(|a, b| (v.abs() / scale - a).abs().total_cmp(&(v.abs() / scale - b).abs())).unwrap();
        let r: Vec<f64> = block.iter().map(|&v| f64::from(v) - f64::from((nearest(v) * scale).copysign(v))).collect();
        (0..256).map(|k| r[k / 16] * f64::from(h.as_slice()[k]) * r[k % 16]).sum::<f64>()
    };
    let candidates = Context::new().scale_candidates(448).unwrap();
    for (block, &chosen) in x.chunks(16).zip(found.as_slice()) {
        let least = candidates.as_slice().iter().map(|&c| loss(block, c)).fold(f64::INFINITY, f64::min);
        assert!(loss(block, chosen) <= least * (1.0 + 1e-6), "{} {least}", loss(block, chosen));
    }
    assert_eq!(hessian.rows().unwrap(), 40);
    let state = hessian.state_tensor(1).unwrap();
    assert_eq!((state.data, state.reduce), (StateData::F64(&mut [40.0]), Reduce::Sum));
}

#[test]
fn hessians_merge() {
    let x = values(30 * 8, 7);
    let (mut whole, mut part, mut rest) = (Hessian::new().unwrap(), Hessian::new().unwrap(), Hessian::new().unwrap());
    for hessian in [&mut whole, &mut part, &mut rest] {
        hessian.set_layout(HessianLayout::Full).unwrap();
    }
    whole.collect(matrix(&x, 8)).unwrap();
    part.collect(matrix(&x[..80], 8)).unwrap();
    rest.collect(matrix(&x[80..], 8)).unwrap();
    part.merge(&rest).unwrap();
    for (a, b) in part.compute_hessian().unwrap().as_slice().iter().zip(whole.compute_hessian().unwrap().as_slice()) {
        assert!((a - b).abs() <= 1e-6 * b.abs().max(1.0));
    }
    let mut copy = Hessian::new().unwrap();
    copy.import_state(&part.export_state().unwrap()).unwrap();
    assert_eq!(copy.compute_hessian().unwrap(), part.compute_hessian().unwrap());
    copy.reset().unwrap();
    assert_eq!((copy.rows().unwrap(), status(copy.compute_hessian())), (0, Status::NoData));
    let odd = values(17 * 2, 8);
    let mut blocks = Hessian::new().unwrap();
    blocks.set_block_size(32).unwrap();
    assert_eq!(status(blocks.collect(matrix(&odd, 17))), Status::InvalidArgument);
    assert_eq!(status(copy.merge(&blocks)), Status::InvalidArgument);
}

#[test]
fn actmax_counts_blocks() {
    let x = values(100 * 32, 9);
    let mut actmax = ActMax::new().unwrap();
    actmax.set_percentiles(1.0, 100.0).unwrap();
    actmax.set_rho(0.5).unwrap();
    actmax.set_margin(1.25).unwrap();
    actmax.set_bins(256, -20.0, 20.0).unwrap();
    actmax.collect(matrix(&x, 32)).unwrap();
    assert_eq!(actmax.compute_amax().unwrap(), (1.25 * f64::from(amax(&x))) as f32);
    let stats = actmax.compute_stats().unwrap();
    assert_eq!((stats.term, stats.blocks, stats.literal_max), (ActMaxTerm::BMax, 200, amax(&x)));
    assert_eq!((stats.b_max, stats.result), (f64::from(amax(&x)), actmax.compute_amax().unwrap()));
    assert!(0.0 < stats.p1 && stats.b_min <= stats.p99_99);
    let mut twice = ActMax::new().unwrap();
    twice.import_state(&actmax.export_state().unwrap()).unwrap();
    twice.merge(&actmax).unwrap();
    assert_eq!(twice.compute_stats().unwrap().blocks, 400);
    let state = twice.state_tensor(0).unwrap();
    assert_eq!((state.shape, state.reduce), (vec![256], Reduce::Sum));
    let StateData::I64(counts) = state.data else { panic!("{:?}", state.data) };
    assert_eq!(counts.iter().sum::<i64>(), 400);
    twice.reset().unwrap();
    twice.set_block_size(32).unwrap();
    twice.set_headroom(true).unwrap();
    twice.collect(matrix(&x, 32)).unwrap();
    assert_eq!(twice.compute_stats().unwrap().blocks, 100);
    assert_eq!(status(twice.merge(&actmax)), Status::InvalidArgument);
    assert_eq!(status(ActMax::new().unwrap().compute_amax()), Status::NoData);
}

#[test]
fn mse_finds_the_best_multiplier() {
    let x = values(4 * 50, 10);
    let mut mse = Mse::new().unwrap();
    mse.set_axes(&[0]).unwrap();
    mse.set_multipliers(0.5, 1.5, 0.25).unwrap();
    assert_eq!(mse.candidates().unwrap().as_slice(), [0.5, 0.75, 1.0, 1.25, 1.5]);
    mse.set_absolute_error().unwrap();
    mse.set_power_error(2.0).unwrap();
    mse.set_squared_error().unwrap();
    mse.set_float_quantizer(FloatFormat::E5m2).unwrap();
    mse.set_nvfp4_quantizer(1.0).unwrap();
    mse.set_int_quantizer(4, IntRange::Symmetric).unwrap();
    assert_eq!(status(mse.collect(matrix(&x, 50))), Status::WrongState);
    mse.set_initial_amax(&[1.0f32; 4]).unwrap();
    mse.collect(matrix(&x, 50)).unwrap();
    let losses = mse.losses().unwrap();
    assert_eq!(losses.shape(), [5, 4]);
    let multipliers = mse.compute_multipliers().unwrap();
    for (c, row) in x.chunks(50).enumerate() {
        let loss = |m: f32| {
            let scale = 7.0 / m;
            row.iter().map(|&v| (f64::from(v) - f64::from((v * scale).round_ties_even().clamp(-7.0, 7.0) / scale)).powi(2)).sum::<f64>()
        };
        for (m, &multiplier) in mse.candidates().unwrap().as_slice().iter().enumerate() {
            let (mine, theirs) = (loss(multiplier), losses.as_slice()[m * 4 + c]);
            assert!((mine - theirs).abs() <= 1e-9 * mine, "{mine} {theirs}");
            assert!(loss(multipliers.as_slice()[c]) <= mine);
        }
    }
    assert_eq!(mse.compute_amax().unwrap(), multipliers);
    let mut other = Mse::new().unwrap();
    other.import_state(&mse.export_state().unwrap()).unwrap();
    other.merge(&mse).unwrap();
    assert_eq!(other.losses().unwrap().as_slice()[7], 2.0 * losses.as_slice()[7]);
    let state = other.state_tensor(0).unwrap();
    assert_eq!((state.shape, state.reduce), (vec![5, 4], Reduce::Sum));
    other.reset().unwrap();
    assert_eq!(status(other.compute_amax()), Status::NoData);
}

#[test]
fn observers_give_ranges_and_scales() {
    let x = values(8 * 32, 11);
    let mut observer = Observer::new().unwrap();
    observer.set_kind(ObserverKind::StaticMinMax).unwrap();
    observer.set_format(ObserverFormat::Int8).unwrap();
    observer.set_strategy(ObserverStrategy::Channel).unwrap();
    observer.set_symmetric(true).unwrap();
    observer.collect(matrix(&x, 32)).unwrap();
    let (min, max) = observer.compute_range().unwrap();
    let (scale, zero_point) = observer.compute_scale().unwrap();
    assert_eq!((min.shape(), scale.shape()), (&[8, 1][..], &[8, 1][..]));
    for (c, row) in x.chunks(32).enumerate() {
        assert_eq!(min.as_slice()[c], row.iter().copied().fold(f32::INFINITY, f32::min));
        assert_eq!(max.as_slice()[c], row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        assert!((scale.as_slice()[c] / (amax(row) / 127.5) - 1.0).abs() < 1e-6);
        assert_eq!(zero_point.as_slice()[c], 0);
    }
    assert_eq!(status(observer.compute_global_scale()), Status::Unsupported);
    let state = observer.state_tensor(0).unwrap();
    assert_eq!((state.reduce, state.shape), (Reduce::Min, vec![8, 1]));
    assert_eq!(observer.state_tensor(1).unwrap().reduce, Reduce::Max);
    let mut other = Observer::new().unwrap();
    other.import_state(&observer.export_state().unwrap()).unwrap();
    other.merge(&observer).unwrap();
    assert_eq!(other.compute_range().unwrap(), (min, max));
    other.reset().unwrap();
    assert_eq!(status(other.compute_range()), Status::NoData);
}

#[test]
fn fused_observers_share_a_global_scale() {
    let (a, b) = (values(4 * 32, 12), values(4 * 32, 13).iter().map(|v| v * 3.0).collect::<Vec<f32>>());
    let make = |x: &[f32]| {
        let mut observer = Observer::new().unwrap();
        observer.set_kind(ObserverKind::MemorylessMinMax).unwrap();
        observer.set_format(ObserverFormat::Fp4).unwrap();
        observer.set_strategy(ObserverStrategy::TensorGroup).unwrap();
        observer.set_group_size(16).unwrap();
        observer.collect(matrix(x, 32)).unwrap();
        observer
    };
    let (mut q, mut k) = (make(&a), make(&b));
    let alone = (q.compute_global_scale().unwrap(), k.compute_global_scale().unwrap());
    assert!(alone.0 > alone.1);
    Observer::fuse(&mut [&mut q, &mut k]).unwrap();
    assert_eq!((q.compute_global_scale().unwrap(), k.compute_global_scale().unwrap()), (alone.1, alone.1));
    let range = k.compute_global_range().unwrap();
    assert_eq!(range.0.abs().max(range.1), amax(&b));
    let mut plain = Observer::new().unwrap();
    plain.collect(&a).unwrap();
    assert_eq!(status(Observer::fuse(&mut [&mut q, &mut plain])), Status::Unsupported);
    assert_eq!(status(Observer::fuse(&mut [])), Status::InvalidArgument);
}

#[test]
fn observer_options_are_taken_and_checked() {
    let x = values(6 * 32, 14);
    let mut observer = Observer::new().unwrap();
    observer.set_observed(Observed::Weight).unwrap();
    observer.set_strategy(ObserverStrategy::Block).unwrap();
    observer.set_block_structure(4, 16).unwrap();
    observer.set_format(ObserverFormat::Fp8).unwrap();
    observer.set_maxshrink(0.5).unwrap();
    observer.set_patience(3).unwrap();
    observer.set_grid(20.0).unwrap();
    observer.set_norm(2.0).unwrap();
    observer.set_expand(1.5).unwrap();
    observer.set_averaging_constant(0.5).unwrap();
    observer.collect(matrix(&x, 32)).unwrap();
    assert_eq!(observer.compute_scale().unwrap().0.shape(), [2, 2]);
    let mut group = Observer::new().unwrap();
    group.set_strategy(ObserverStrategy::TensorGroup).unwrap();
    group.set_format(ObserverFormat::Fp4).unwrap();
    assert_eq!(status(group.collect(matrix(&x, 32))), Status::WrongState);
    group.set_group_size(16).unwrap();
    group.set_g_idx(&(0..32).map(|i| i % 2).collect::<Vec<i32>>()).unwrap();
    group.set_optimize_global_scale(true).unwrap();
    group.collect(matrix(&x, 32)).unwrap();
    let optimized = group.compute_global_scale().unwrap();
    group.reset().unwrap();
    group.set_optimize_global_scale(false).unwrap();
    group.set_global_scale(100.0).unwrap();
    group.collect(matrix(&x, 32)).unwrap();
    assert_eq!(group.compute_global_scale().unwrap(), 100.0);
    assert_ne!(optimized, 100.0);
    assert_eq!(status(group.set_norm(2.0)), Status::WrongState);
    assert_eq!(status(Observer::new().unwrap().set_norm(0.0)), Status::InvalidArgument);
}

#[test]
fn single_level_searches_give_what_their_results_say() {
    let (w, tokens) = (values(8 * 16, 15), values(50 * 32, 16));
    let context = Context::new();
    let view = TensorView::new(&w, &[4, 2, 16]).unwrap();
    let naive = context.block_naive(view, -1).unwrap();
    let best = context.block_optimal(view, -1, &nvfp4cal::BlockOptions::new().search_noise()).unwrap();
    assert_eq!((naive.scales.shape(), best.quants.shape()), (&[4, 2][..], &[4, 2, 16][..]));
    let sse = |scales: &nvfp4cal::Tensor<f32>| context.block_sse::<f64>(view, scales, -1).unwrap();
    for (least, plain) in sse(&best.scales).as_slice().iter().zip(sse(&naive.scales).as_slice()) {
        assert!(least <= plain);
    }
    assert_eq!(context.block_quantize(view, &best.scales, -1).unwrap(), best.quants);
    assert_eq!(context.block_dequantize(&best.quants, &best.scales, -1).unwrap(), best.dequant);
    let table = context.block_scale_table().unwrap();
    assert_eq!((table.as_slice().len(), table.as_slice()[125]), (126, 448.0));
    let (codebook, boundaries) = context.block_codebook().unwrap();
    assert_eq!(codebook.as_slice(), [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
    for k in 0..7 {
        assert_eq!(boundaries.as_slice()[k], (codebook.as_slice()[k] + codebook.as_slice()[k + 1]) / 2.0);
    }
    let activations = matrix(&tokens, 32);
    let mut sums = Hessian::new().unwrap();
    sums.collect(activations).unwrap();
    let hessians = sums.compute_hessian().unwrap();
    let by_activations = context.block_optimal_hessian(view, -1, Curvature::Activations(activations)).unwrap();
    let by_hessians = context.block_optimal_hessian(view, -1, Curvature::Hessians((&hessians).into())).unwrap();
    assert_eq!(by_activations.scales, by_hessians.scales);
    let options = nvfp4cal::BlockOptions::new().outer_steps(2).inner_steps(4).admm_from_optimal();
    let admm = context.block_admm(view, -1, Curvature::Activations(activations), &options).unwrap();
    assert_eq!(admm.quants.shape(), [4, 2, 16]);
    let error = context.block_admm(view, -1, Curvature::Activations(activations), &options.outer_steps(-1)).unwrap_err();
    assert!(error.message().contains("-1"), "{error}");
}

#[test]
fn the_library_tells_about_itself() {
    assert_eq!(nvfp4cal::version(), env!("CARGO_PKG_VERSION"));
    assert_eq!(nvfp4cal::version_number(), 100);
    assert_eq!(nvfp4cal::abi_version(), 0);
    assert!(nvfp4cal::build_info().contains(nvfp4cal::version()));
    assert!(nvfp4cal::cpu_targets().contains(&nvfp4cal::cpu_target()));
    assert_eq!(nvfp4cal::cpu_targets().last(), Some(&"scalar"));
    assert_eq!(Status::NotFinite.to_string(), "non-finite data");
    assert_eq!((Status::Callback.code(), Status::Other(-99).code()), (-14, -99));
    assert_eq!(Dtype::Bf16.size(), 2);
}

#[test]
fn contexts_are_settings() {
    let x = values(64 * 256, 17);
    let x = matrix(&x, 256);
    let expected = Context::new().scale_sweep(x, &Options::new()).unwrap();
    for target in nvfp4cal::cpu_targets() {
        let mut context = Context::new();
        context.set_cpu_target(Some(target)).unwrap();
        context.set_threads(3).unwrap();
        assert_eq!(context.threads().unwrap(), 3);
        assert_eq!(context.scale_sweep(x, &Options::new()).unwrap(), expected);
    }
    let mut context = Context::new();
    let error = context.set_cpu_target(Some("abacus")).unwrap_err();
    assert!(error.message().contains("abacus"), "{error}");
    assert_eq!(status(context.set_threads(1025)), Status::InvalidArgument);
    assert_eq!(status(context.set_cpu_target(Some("a\0b"))), Status::InvalidArgument);
    context.set_cpu_target(None).unwrap();
}

#[test]
fn swizzled_scales_come_back() {
    let scales: Vec<u8> = (0..2 * 130 * 5).map(|i| (i % 126 + 1) as u8).collect();
    let context = Context::new();
    let tiles = context.swizzle_scales(TensorView::new(&scales, &[2, 130, 5]).unwrap()).unwrap();
    assert_eq!(tiles.shape(), [2, 256 * 8]);
    assert_eq!(context.unswizzle_scales(&tiles, &[2, 130, 5]).unwrap().as_slice(), scales);
    assert_eq!(status(context.unswizzle_scales(&tiles, &[3, 130, 5])), Status::InvalidArgument);
    assert_eq!(status(context.unswizzle_scales(&tiles, &[usize::MAX, 2])), Status::InvalidArgument);
}

#[test]
fn what_is_not_finite_is_named() {
    let mut x = values(64, 18);
    x[37] = f32::NAN;
    let error = Max::new().unwrap().collect(matrix(&x, 32)).unwrap_err();
    assert_eq!(error.status(), Status::NotFinite);
    assert!(error.message().contains("37"), "{error}");
    assert_eq!(error.to_string(), error.message());
}

#[test]
fn gptq_leaves_less_than_rounding_to_nearest() {
    let (tokens, weights) = (values(200 * 32, 5), values(6 * 32, 6));
    let mut hessian = Hessian::new().unwrap();
    hessian.set_layout(HessianLayout::Full).unwrap();
    hessian.collect(matrix(&tokens, 32)).unwrap();
    let mut gptq = Gptq::new().unwrap();
    gptq.set_context(&Context::new()).unwrap();
    gptq.set_damping(0.01).unwrap();
    gptq.set_effort(GptqEffort::Max).unwrap();
    gptq.set_measure_objectives(true).unwrap();
    assert_eq!(status(gptq.quantize(matrix(&weights, 32), None)), Status::NoData);
    gptq.set_hessian(&hessian, None).unwrap();
    let q = gptq.quantize(matrix(&weights, 32), None).unwrap();
    assert_eq!((q.packed.shape(), q.scales.shape(), q.global_scale.shape()), (&[6, 16][..], &[6, 2][..], &[][..]));
    let o = gptq.compute_objectives().unwrap();
    assert!(o.neighbourhood <= o.descent && o.descent <= o.rounding && o.rounding < o.nearest, "{o:?}");
    gptq.reset().unwrap();
    gptq.set_hessian_tensor(&hessian.compute_hessian().unwrap(), None).unwrap();
    // the same sums, rounded to float32
    assert_eq!(gptq.quantize(matrix(&weights, 32), None).unwrap().global_scale, q.global_scale);
}
