//! Closures: what they are given, what their failures and panics become, how long they live.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use nvfp4cal::{Context, Error, IntRange, Max, Mse, Options, Status, Sweep, TensorView};

const X: [f32; 6] = [0.25, -1.5, 3.0, 0.75, -2.0, 5.5];

fn x() -> TensorView<'static> {
    TensorView::new(&X, &[2, 3]).unwrap()
}

/// Rounds to multiples of amax / 7.
fn quantize(x: TensorView<'_>, amax: TensorView<'_>, out: &mut [f32]) {
    let step = amax.to_f32_vec().unwrap()[0] / 7.0;
    for (to, from) in out.iter_mut().zip(x.to_f32_vec().unwrap()) {
        *to = (from / step).round_ties_even().clamp(-7.0, 7.0) * step;
    }
}

fn mse<'a>() -> Mse<'a> {
    let mut mse = Mse::new().unwrap();
    mse.set_multipliers(0.5, 1.0, 0.25).unwrap();
    mse.set_initial_amax(&5.5f32).unwrap();
    mse
}

/// The text of a panic that `body` lets through.
fn panic_of<T>(body: impl FnOnce() -> T) -> String {
    let payload = catch_unwind(AssertUnwindSafe(body)).map(|_| ()).unwrap_err();
    payload.downcast_ref::<&str>().expect("a panic with a text").to_string()
}

fn source_of(error: &Error) -> String {
    std::error::Error::source(error).expect("the closure's error").to_string()
}

#[test]
fn closures_compute_what_the_built_in_ones_do() {
    let mut built_in = mse();
    built_in.set_int_quantizer(4, IntRange::Symmetric).unwrap();
    built_in.collect(x()).unwrap();
    let mut calls = Vec::new();
    let mut own = mse();
    own.set_quantize_callback(|x, amax, out| {
        assert_eq!((x.shape(), x.as_slice::<f32>(), amax.shape().len(), out.len()), (vec![2, 3], Some(&X[..]), 0, 6));
        calls.push(amax.to_f32_vec()?[0]);
        quantize(x, amax, out);
        Ok(())
    })
    .unwrap();
    own.set_error_callback(|x, xq, out| {
        for (to, (a, b)) in out.iter_mut().zip(x.to_f32_vec()?.into_iter().zip(xq.to_f32_vec()?)) {
            *to = (a - b).powi(2);
        }
        Ok(())
    })
    .unwrap();
    own.collect(x()).unwrap();
    for (a, b) in own.losses().unwrap().as_slice().iter().zip(built_in.losses().unwrap().as_slice()) {
        assert!((a - b).abs() <= 1e-6 * b, "{a} {b}");
    }
    drop(own);
    assert_eq!(calls, [2.75, 4.125, 5.5]);
    let mut scalar = mse();
    scalar.set_int_quantizer(4, IntRange::Symmetric).unwrap();
    scalar
        .set_scalar_error_callback(|x, xq| {
            Ok(x.to_f32_vec()?.into_iter().zip(xq.to_f32_vec()?).map(|(a, b)| (f64::from(a) - f64::from(b)).powi(2)).sum())
        })
        .unwrap();
    scalar.collect(x()).unwrap();
    for (a, b) in scalar.losses().unwrap().as_slice().iter().zip(built_in.losses().unwrap().as_slice()) {
        assert!((a - b).abs() <= 1e-12 * b, "{a} {b}");
    }
}

#[test]
fn closures_see_strides() {
    let mut own = mse();
    own.set_quantize_callback(|x, amax, out| {
        assert_eq!((x.shape(), x.strides(), x.as_slice::<f32>()), (vec![3, 2], vec![1, 3], None));
        assert_eq!(x.to_f32_vec()?, [0.25, 0.75, -1.5, -2.0, 3.0, 5.5]);
        quantize(x, amax, out);
        Ok(())
    })
    .unwrap();
    own.collect(TensorView::strided(&X, 0, &[3, 2], &[1, 3]).unwrap()).unwrap();
}

#[test]
fn a_closure_that_fails_fails_the_call() {
    let mut calls = 0;
    let mut own = mse();
    own.set_quantize_callback(|x, amax, out| {
        calls += 1;
        if calls == 2 {
            return Err("no more ink".into());
        }
        quantize(x, amax, out);
        Ok(())
    })
    .unwrap();
    let error = own.collect(x()).unwrap_err();
    assert_eq!((error.status(), source_of(&error).as_str()), (Status::Callback, "no more ink"));
    assert_eq!(own.compute_amax().unwrap_err().status(), Status::NoData);
    own.collect(x()).unwrap();
    own.set_scalar_error_callback(|_, _| Ok(0.0)).unwrap_err(); // WrongState: the earlier ones stay
    own.collect(x()).unwrap();
    drop(own);
    assert_eq!(calls, 8);
}

#[test]
fn what_closures_fill_in_is_checked() {
    let mut own = mse();
    own.set_quantize_callback(|_, _, out| {
        out.fill(f32::NAN);
        Ok(())
    })
    .unwrap();
    assert_eq!(own.collect(x()).unwrap_err().status(), Status::NotFinite);
    own.set_int_quantizer(4, IntRange::Full).unwrap();
    own.set_scalar_error_callback(|_, _| Ok(f64::INFINITY)).unwrap();
    assert_eq!(own.collect(x()).unwrap_err().status(), Status::NotFinite);
}

#[test]
fn a_panic_goes_on_from_the_call() {
    let mut calls = 0;
    let mut own = mse();
    own.set_quantize_callback(|x, amax, out| {
        calls += 1;
        assert!(calls != 2, "out of paper");
        quantize(x, amax, out);
        Ok(())
    })
    .unwrap();
    assert_eq!(panic_of(|| own.collect(x())), "out of paper");
    // as before the call, and usable
    assert_eq!(own.compute_amax().unwrap_err().status(), Status::NoData);
    own.collect(x()).unwrap();
    own.reset().unwrap();
    own.set_initial_amax(&1.0f32).unwrap();
    own.set_scalar_error_callback(|_, _| panic!("torn")).unwrap();
    assert_eq!(panic_of(|| own.collect(x())), "torn");
    own.set_error_callback(|_, _, _| panic!("worn")).unwrap();
    assert_eq!(panic_of(|| own.collect(x())), "worn");
    own.set_squared_error().unwrap();
    own.collect(x()).unwrap();
}

#[test]
fn calls_inside_of_a_closure_keep_their_own_failures() {
    let mut own = mse();
    own.set_quantize_callback(|x, amax, out| {
        let mut inner = mse();
        inner.set_quantize_callback(|_, _, _| Err("inner".into())).unwrap();
        let error = inner.collect(x).unwrap_err();
        assert_eq!(source_of(&error), "inner");
        inner.set_quantize_callback(|_, _, _| panic!("inner panic")).unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| inner.collect(x))).is_err());
        quantize(x, amax, out);
        Ok(())
    })
    .unwrap();
    own.collect(x()).unwrap();
    own.reset().unwrap();
    own.set_initial_amax(&1.0f32).unwrap();
    own.set_quantize_callback(|x, _, _| {
        Max::new()?.compute_amax()?; // the library's error is the closure's
        Max::new()?.collect(x)?;
        Ok(())
    })
    .unwrap();
    let error = own.collect(x()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<Error>().expect("an error of the library");
    assert_eq!(source.status(), Status::NoData);
}

#[test]
fn closures_live_as_long_as_they_may_be_called() {
    let alive = Arc::new(());
    let count = || Arc::strong_count(&alive) - 1;
    let mut own = mse();
    let kept = alive.clone();
    own.set_quantize_callback(move |x, amax, out| {
        let _ = &kept;
        quantize(x, amax, out);
        Ok(())
    })
    .unwrap();
    own.collect(x()).unwrap();
    let state = own.export_state().unwrap();
    own.reset().unwrap();
    own.set_int_quantizer(4, IntRange::Full).unwrap();
    assert_eq!(count(), 1);
    own.import_state(&state).unwrap(); // the closure is the quantizer again
    own.collect(x()).unwrap();
    own.reset().unwrap();
    let kept = alive.clone();
    own.set_quantize_callback(move |_, _, _| Err(format!("{kept:?}").into())).unwrap();
    assert_eq!(count(), 1);
    drop(own);
    assert_eq!(count(), 0);
}

#[test]
fn sweeps_take_quantizers_and_errors() {
    let data: Vec<f32> = (0..64).map(|i| ((i * 29) % 61) as f32 / 30.0 - 1.0).collect();
    let x = TensorView::new(&data, &[2, 32]).unwrap();
    let mut plain = Sweep::new().unwrap();
    plain.set_global_amax(&1.0f32).unwrap();
    plain.collect(x).unwrap();
    // E2M1 of x / (amax / 6), as the library has it
    let levels = [0.0f32, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];
    let mut calls = 0;
    let mut own = Sweep::new().unwrap();
    assert_eq!(own.initial_amax().unwrap_err().status(), Status::NoData);
    own.set_global_amax(&1.0f32).unwrap();
    own.set_initial_amax(TensorView::new(&[1.0f32; 4], &[4, 1]).unwrap()).unwrap();
    assert_eq!(own.initial_amax().unwrap().shape(), [4, 1]);
    own.set_quantize_callback(|x, amax, out| {
        calls += 1;
        assert_eq!((x.shape(), amax.shape()), (vec![2, 32], vec![4, 1]));
        let (x, amax) = (x.to_f32_vec()?, amax.to_f32_vec()?);
        for (i, (to, from)) in out.iter_mut().zip(x).enumerate() {
            let scale = amax[i / 16] / 6.0;
            let y = from.abs() / scale;
            *to = (levels.into_iter().min_by(|a, b| (y - a).abs().total_cmp(&(y - b).abs())).unwrap() * scale).copysign(from);
        }
        Ok(())
    })
    .unwrap();
    own.set_error_callback(|x, xq, out| {
        for (to, (a, b)) in out.iter_mut().zip(x.to_f32_vec()?.into_iter().zip(xq.to_f32_vec()?)) {
            *to = (a - b).powi(2);
        }
        Ok(())
    })
    .unwrap();
    own.collect(x).unwrap();
    assert_eq!(own.compute_amax().unwrap().shape(), [4, 1]);
    assert_eq!(own.compute_codes().unwrap().as_slice(), plain.compute_codes().unwrap().as_slice());
    own.reset().unwrap();
    own.set_error_callback(|_, _, _| panic!("spilled")).unwrap();
    assert_eq!(panic_of(|| own.collect(x)), "spilled");
    own.clear_error_callback().unwrap();
    own.set_quantize_callback(|_, _, _| Err("dry".into())).unwrap();
    let error = own.collect(x).unwrap_err();
    assert_eq!((error.status(), source_of(&error).as_str()), (Status::Callback, "dry"));
    let state = own.export_state().unwrap();
    own.clear_quantize_callback().unwrap();
    own.clear_initial_amax().unwrap();
    own.collect(x).unwrap();
    assert_eq!(own.compute_amax().unwrap(), plain.compute_amax().unwrap());
    own.import_state(&state).unwrap();
    assert_eq!(own.collect(x).unwrap_err().status(), Status::WrongState); // of a closure that is not here
    drop(own);
    assert_eq!(calls, 126 + 1); // once more before the panic
}

/// Enough work for several tasks.
fn big() -> Vec<f32> {
    (0..512 * 1024).map(|i| (i % 1009) as f32 / 100.0 - 5.0).collect()
}

#[test]
fn a_runner_runs_the_work() {
    let data = big();
    let view = TensorView::new(&data, &[512, 1024]).unwrap();
    let expected = Context::new().scale_sweep(view, &Options::new()).unwrap();
    let tasks_run = Arc::new(AtomicUsize::new(0));
    let seen = tasks_run.clone();
    let mut context = Context::new();
    context
        .set_runner(move |tasks| {
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while tasks.run_next() {
                            seen.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert!(tasks.count() > 1 && !tasks.run_next());
            Ok(())
        })
        .unwrap();
    assert_eq!(context.scale_sweep(view, &Options::new()).unwrap(), expected);
    assert!(tasks_run.load(Ordering::Relaxed) > 4);
    let mut max = Max::new().unwrap();
    max.set_block_size(16).unwrap();
    max.set_context(&context).unwrap();
    context.clear_runner().unwrap();
    drop(context);
    let before = tasks_run.load(Ordering::Relaxed);
    max.collect(view).unwrap(); // the calibrator keeps the closure
    assert!(tasks_run.load(Ordering::Relaxed) > before);
    assert_eq!(Arc::strong_count(&tasks_run), 2);
    drop(max);
    assert_eq!(Arc::strong_count(&tasks_run), 1);
}

#[test]
fn a_runner_may_fail_panic_or_be_lazy() {
    let data = big();
    let view = TensorView::new(&data, &[512, 1024]).unwrap();
    let mut context = Context::new();
    context.set_runner(|_| Err("on strike".into())).unwrap();
    let error = context.scale_sweep(view, &Options::new()).unwrap_err();
    assert_eq!((error.status(), source_of(&error).as_str()), (Status::Callback, "on strike"));
    context
        .set_runner(|tasks| {
            tasks.run_next();
            panic!("asleep")
        })
        .unwrap();
    let mut max = Max::new().unwrap();
    max.set_block_size(16).unwrap();
    max.set_context(&context).unwrap();
    assert_eq!(panic_of(|| max.collect(view)), "asleep");
    assert_eq!(max.compute_amax().unwrap_err().status(), Status::NoData);
    context
        .set_runner(|tasks| {
            tasks.run_next();
            Ok(())
        })
        .unwrap();
    let error = context.scale_sweep(view, &Options::new()).unwrap_err();
    assert_eq!((error.status(), std::error::Error::source(&error).is_none()), (Status::Callback, true));
    assert!(error.message().contains("1 of"), "{error}");
    max.set_context(&Context::new()).unwrap();
    max.collect(view).unwrap();
}
