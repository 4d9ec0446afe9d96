//! One case of the table, its tensors, and what the library answers to it.

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use nvfp4cal::{Element, Tensor, TensorView};
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;

pub type Fail = Box<dyn std::error::Error>;
pub type Try<T> = Result<T, Fail>;

/// Named outputs, as tests/golden/README.md calls them.
pub type Outputs = BTreeMap<String, Array>;

/// A tensor of a file, or an output of the library.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Numbers that arrays hold, in little-endian bytes.
pub trait Number: Copy {
    const DTYPE: Dtype;
    fn bytes(self) -> Vec<u8>;
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! numbers {
    ($($type:ty => $dtype:ident),*) => {$(
        impl Number for $type {
            const DTYPE: Dtype = Dtype::$dtype;
            fn bytes(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
            fn read(bytes: &[u8]) -> Self {
                <$type>::from_le_bytes(bytes.try_into().unwrap())
            }
        }
    )*};
}

numbers!(u8 => U8, i8 => I8, i32 => I32, i64 => I64, f32 => F32, f64 => F64, f16 => F16, bf16 => BF16);

impl Array {
    pub fn new<T: Number>(shape: &[usize], values: &[T]) -> Self {
        Array { dtype: T::DTYPE, shape: shape.to_vec(), bytes: values.iter().flat_map(|v| v.bytes()).collect() }
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / size_of(self.dtype)
    }

    /// The elements, if they are of this type.
    pub fn values<T: Number>(&self) -> Try<Vec<T>> {
        if self.dtype != T::DTYPE {
            return Err(format!("a tensor of {:?}, expected {:?}", self.dtype, T::DTYPE).into());
        }
        Ok(self.bytes.chunks_exact(size_of(self.dtype)).map(T::read).collect())
    }

    /// Elements of a float dtype as float32.
    pub fn floats(&self) -> Try<Vec<f32>> {
        Ok(match self.dtype {
            Dtype::F64 => self.values::<f64>()?.into_iter().map(|v| v as f32).collect(),
            Dtype::BF16 => self.values::<bf16>()?.into_iter().map(bf16::to_f32).collect(),
            Dtype::F16 => self.values::<f16>()?.into_iter().map(f16::to_f32).collect(),
            _ => self.values()?,
        })
    }

    /// Elements of any dtype as float64.
    pub fn numbers(&self) -> Try<Vec<f64>> {
        Ok(match self.dtype {
            Dtype::F64 => self.values()?,
            Dtype::I64 => self.values::<i64>()?.into_iter().map(|v| v as f64).collect(),
            Dtype::I32 => self.values::<i32>()?.into_iter().map(f64::from).collect(),
            Dtype::I8 => self.values::<i8>()?.into_iter().map(f64::from).collect(),
            Dtype::U8 => self.values::<u8>()?.into_iter().map(f64::from).collect(),
            _ => self.floats()?.into_iter().map(f64::from).collect(),
        })
    }

    /// The first element.
    pub fn first(&self) -> Try<f32> {
        Ok(*self.floats()?.first().ok_or("a tensor without elements")?)
    }

    pub fn reshaped(&self, shape: &[usize]) -> Try<Array> {
        if shape.iter().product::<usize>() != self.len() {
            return Err(format!("{} elements do not fill {shape:?}", self.len()).into());
        }
        Ok(Array { shape: shape.to_vec(), ..self.clone() })
    }

    /// As an input of the library.
    pub fn view(&self) -> Try<TensorView<'_>> {
        let dtype = match self.dtype {
            Dtype::U8 => nvfp4cal::Dtype::U8,
            Dtype::F16 => nvfp4cal::Dtype::F16,
            Dtype::BF16 => nvfp4cal::Dtype::Bf16,
            Dtype::F32 => nvfp4cal::Dtype::F32,
            Dtype::F64 => nvfp4cal::Dtype::F64,
            other => return Err(format!("a tensor of {other:?} is no input").into()),
        };
        Ok(TensorView::from_bytes(&self.bytes, dtype, &self.shape)?)
    }
}

impl<T: Element + Number> From<Tensor<T>> for Array {
    fn from(tensor: Tensor<T>) -> Self {
        Array::new(tensor.shape(), tensor.as_slice())
    }
}

pub fn size_of(dtype: Dtype) -> usize {
    match dtype {
        Dtype::F64 | Dtype::I64 => 8,
        Dtype::F32 | Dtype::I32 => 4,
        Dtype::F16 | Dtype::BF16 => 2,
        _ => 1,
    }
}

/// A pair of files.
#[derive(Clone)]
pub struct Family {
    pub description: Value,
    pub tensors: BTreeMap<String, Array>,
}

impl Family {
    /// `stem` is the path without `.json`.
    pub fn open(stem: &Path) -> Try<Family> {
        let description = read_json(&stem.with_extension("json"))?;
        let file = std::fs::read(stem.with_extension("safetensors"))?;
        let mut tensors = BTreeMap::new();
        for (name, view) in SafeTensors::deserialize(&file)?.tensors() {
            tensors.insert(name, Array { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() });
        }
        Ok(Family { description, tensors })
    }

    pub fn name(&self) -> Try<&str> {
        Ok(self.description["family"].as_str().ok_or("no family")?)
    }

    pub fn cases(&self) -> &[Value] {
        self.description["cases"].as_array().map_or(&[], |cases| cases)
    }
}

pub fn read_json(path: &Path) -> Try<Value> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// Everything fails where the case does not say what is asked.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub family: &'a Family,
    pub one: &'a Value,
}

impl<'a> Case<'a> {
    pub fn name(&self) -> &'a str {
        self.one["name"].as_str().unwrap_or("")
    }

    /// None where it is missing or null.
    pub fn param(&self, key: &str) -> Option<&'a Value> {
        self.one["params"].get(key).filter(|value| !value.is_null())
    }

    pub fn number(&self, key: &str, otherwise: f64) -> Try<f64> {
        self.param(key).map_or(Ok(otherwise), |value| value.as_f64().ok_or_else(|| format!("param {key} is {value}").into()))
    }

    pub fn integer(&self, key: &str, otherwise: i32) -> Try<i32> {
        let value = self.number(key, f64::from(otherwise))?;
        if value.fract() != 0.0 {
            return Err(format!("param {key} is {value}").into());
        }
        Ok(value as i32)
    }

    pub fn flag(&self, key: &str, otherwise: bool) -> Try<bool> {
        self.param(key).map_or(Ok(otherwise), |value| value.as_bool().ok_or_else(|| format!("param {key} is {value}").into()))
    }

    pub fn text(&self, key: &str) -> Try<&'a str> {
        self.param(key).and_then(Value::as_str).ok_or_else(|| format!("no param {key}").into())
    }

    /// The size of a block.
    pub fn block(&self) -> Try<usize> {
        Ok(usize::try_from(self.integer("block", 16)?)?)
    }

    pub fn has_input(&self, key: &str) -> bool {
        self.one["inputs"].get(key).is_some()
    }

    pub fn input(&self, key: &str) -> Try<&'a Array> {
        self.tensor("inputs", key)
    }

    /// x0, x1, ...: what is collected, in order.
    pub fn stream(&self) -> Try<Vec<&'a Array>> {
        (0..).map(|i| format!("x{i}")).take_while(|key| self.has_input(key)).map(|key| self.input(&key)).collect()
    }

    pub fn expects(&self, key: &str) -> bool {
        self.one["expect"].get(key).is_some()
    }

    pub fn expected(&self, key: &str) -> Try<&'a Array> {
        self.tensor("expect", key)
    }

    fn tensor(&self, kind: &str, key: &str) -> Try<&'a Array> {
        let name = self.one[kind].get(key).and_then(Value::as_str).ok_or_else(|| format!("nothing under {kind} {key}"))?;
        self.family.tensors.get(name).ok_or_else(|| format!("no tensor {name}").into())
    }

    /// A count under `agreement`, 0 where there is none.
    pub fn agreed(&self, key: &str) -> u64 {
        self.one["agreement"][key].as_u64().unwrap_or(0)
    }

    /// What a case of `casts` rounds: x, or all 65536 patterns of the 16-bit format that its name ends in.
    pub fn cast_input(&self) -> Try<Array> {
        if self.has_input("x") {
            return Ok(self.input("x")?.clone());
        }
        if self.text("input")? != "bit pattern 0..65535" || !self.name().ends_with("f16") {
            return Err(format!("{}: patterns of what?", self.name()).into());
        }
        let dtype = if self.name().ends_with("bf16") { Dtype::BF16 } else { Dtype::F16 };
        Ok(Array { dtype, shape: vec![65536], bytes: (0..=u16::MAX).flat_map(u16::to_le_bytes).collect() })
    }
}
