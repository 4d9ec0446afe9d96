//! Threads: calibrators move between them, contexts are shared, many compute at once.

use nvfp4cal::{Canceller, Checkpoint, Context, Error, Max, Mse, Observer, Options, Sweep, TensorMut, TensorView};

fn data(seed: usize) -> Vec<f32> {
    (0..300 * 256).map(|i| ((i * 31 + seed * 7919) % 2003) as f32 / 1001.5 - 1.0).collect()
}

fn amax(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |most, v| most.max(v.abs()))
}

#[test]
fn what_is_send_and_what_is_sync() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    send::<Max>();
    send::<Sweep<'static>>();
    send::<Mse<'static>>();
    send::<Observer>();
    send::<Checkpoint<'static>>();
    send::<TensorMut<'static>>();
    send::<Error>();
    send::<Context>();
    sync::<Context>();
    sync::<Error>();
    send::<Canceller>();
    sync::<Canceller>();
    send::<TensorView<'static>>();
    sync::<TensorView<'static>>();
}

#[test]
fn eight_threads_on_eight_handles() {
    let x = data(0);
    let expected = Context::new().scale_sweep(TensorView::new(&x, &[300, 256]).unwrap(), &Options::new().global_amax(&1.5f32)).unwrap();
    std::thread::scope(|scope| {
        for t in 0..8 {
            let (x, expected) = (&x, &expected);
            scope.spawn(move || {
                let mine = data(t);
                let (mut max, mut sweep) = (Max::new().unwrap(), Sweep::new().unwrap());
                sweep.set_global_amax(&1.5f32).unwrap();
                for _ in 0..3 {
                    max.collect(&mine).unwrap();
                    assert_eq!(max.compute_amax().unwrap().item(), Some(amax(&mine)));
                    sweep.collect(TensorView::new(x, &[300, 256]).unwrap()).unwrap();
                    assert_eq!(&sweep.compute_amax().unwrap(), expected);
                    max.reset().unwrap();
                    sweep.reset().unwrap();
                }
            });
        }
    });
}

#[test]
fn one_context_is_shared_and_errors_stay_with_their_threads() {
    let x = data(1);
    let mut context = Context::new();
    context.set_threads(3).unwrap();
    let view = TensorView::new(&x, &[300, 256]).unwrap();
    let expected = context.quantize(view, &Options::new()).unwrap();
    std::thread::scope(|scope| {
        for t in 0..6 {
            let (context, expected) = (&context, &expected);
            scope.spawn(move || {
                for _ in 0..4 {
                    assert_eq!(&context.quantize(view, &Options::new()).unwrap(), expected);
                    let error = context.quantize(view, &Options::new().block_size(100 + t)).unwrap_err();
                    assert!(error.message().contains(&format!("{}", 100 + t)), "{error}");
                }
            });
        }
    });
}

#[test]
fn a_calibrator_moves_to_another_thread() {
    let (x, y) = (data(2), data(3));
    let mut max = Max::new().unwrap();
    max.collect(&x).unwrap();
    let limit = 0.5;
    let limit = &limit; // closures may borrow what outlives the calibrator
    let mut mse = Mse::new().unwrap();
    mse.set_initial_amax(&1.0f32).unwrap();
    mse.set_quantize_callback(|x, _, out| {
        for (to, from) in out.iter_mut().zip(x.to_f32_vec()?) {
            *to = from.clamp(-limit, *limit);
        }
        Ok(())
    })
    .unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            max.collect(&y).unwrap();
            mse.collect(&y).unwrap();
        });
    });
    assert_eq!(max.compute_amax().unwrap().item(), Some(amax(&x).max(amax(&y))));
    assert!(mse.losses().unwrap().as_slice()[0] > 0.0);
}
