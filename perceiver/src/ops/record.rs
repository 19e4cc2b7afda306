//! The backward operations of a forward pass.
//!
//! Inside this crate, tensors carry no tapes: operations take a [`Record`] instead. So an operation is compiled once
//! for a device and a data type, and not again for each tape, and all operations of a model become one operation on the
//! caller's tape.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use dfdx::shapes::{Dtype, Shape};
use dfdx::tensor::{Gradients, Merge, NoneTape, Storage, Tape, Tensor};

use crate::spec::Width;

type Operation<E, D, Err> = Box<dyn FnOnce(&mut Gradients<E, D>) -> Result<(), Err>>;

/// The backward operations of a forward pass so far; none are kept if gradients are not tracked.
pub struct Record<E, D: Storage<E>> {
    operations: Option<Operations<E, D>>,
    updates: Updates<E, D>,
}

/// The next values of buffers, each with the address of its buffer in the model, which does not move during a forward pass;
/// dfdx does not tell what identifies a tensor.
pub(crate) type Updates<E, D> = Vec<(usize, Tensor<(Width,), E, D>)>;

impl<E, D: Storage<E>> Record<E, D> {
    /// An empty record for tensors with a tape of type `T`.
    #[must_use]
    pub fn for_tape<T: Tape<E, D>>() -> Self {
        let operations = T::OWNS_TAPE.then(Operations::default);
        Self { operations, updates: Vec::new() }
    }

    /// An empty record that tracks gradients.
    #[cfg(any(test, feature = "f16"))]
    pub(crate) fn new() -> Self {
        let operations = Some(Operations::default());
        Self { operations, updates: Vec::new() }
    }

    /// Whether gradients are tracked.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.operations.is_some()
    }

    /// Adds a backward operation, which runs before those that were added earlier.
    pub fn add(
        &mut self,
        operation: impl FnOnce(&mut Gradients<E, D>) -> Result<(), D::Err> + 'static,
    ) {
        if let Some(operations) = &mut self.operations {
            operations.add_backward_op(operation);
        }
    }

    /// Gives a tensor that a forward pass does not use a gradient of 0: without one, a parameter is an error to dfdx's
    /// optimizers, and to ask for that of an input is a panic.
    pub fn add_unused<S: Shape>(&mut self, tensor: &Tensor<S, E, D>)
    where
        E: Dtype,
        D: dfdx::tensor_ops::Device<E>,
    {
        let tensor = tensor.clone();
        self.add(move |gradients| gradients.try_alloc_for(&tensor));
    }

    /// Notes the next value of a buffer, which it gets if the forward pass succeeds.
    pub(crate) fn update(&mut self, buffer: &Tensor<(Width,), E, D>, next: Tensor<(Width,), E, D>) {
        self.updates.push((std::ptr::from_ref(buffer).addr(), next));
    }

    /// Takes the next values of buffers out.
    pub(crate) fn take_updates(&mut self) -> Updates<E, D> {
        std::mem::take(&mut self.updates)
    }

    /// Takes the operations out, as a tape for dfdx's operations. `None` if gradients are not tracked.
    pub(crate) fn take(&mut self) -> Option<Operations<E, D>> {
        self.operations.take()
    }

    /// Puts back the operations from [`take`](Self::take).
    pub(crate) fn put(&mut self, operations: Operations<E, D>) {
        self.operations = Some(operations);
    }

    /// Adds all operations to a tape, as one operation.
    pub fn put_on<T: Tape<E, D>>(self, tape: &mut T)
    where
        E: 'static,
    {
        if let Some(operations) = self.operations {
            tape.add_backward_op(move |gradients| operations.run(gradients));
        }
    }

    /// Adds all operations to each of several tapes, which are then those of several results. The operations run once,
    /// after those that follow on the tapes, so these tapes have to be merged before they run: add the losses, then
    /// call `backward` once. A second backward pass that needs the operations is an error.
    ///
    /// # Errors
    /// If the device runs out of memory.
    pub fn put_on_all<T: Tape<E, D>>(self, device: &D, tapes: &mut [T]) -> Result<(), D::Err>
    where
        E: Dtype,
        D: crate::ops::KernelDevice<E>,
    {
        let Some(operations) = self.operations else {
            return Ok(());
        };
        let operations = Rc::new(RefCell::new(Some(operations)));
        // What has a gradient of 1 in the backward pass in which the operations have run.
        let mark: Tensor<(usize,), E, D> = device.try_zeros_like(&(1,))?;
        for tape in tapes {
            let (operations, mark) = (Rc::clone(&operations), mark.clone());
            tape.add_backward_op(move |gradients| {
                let operations = operations.borrow_mut().take();
                let gradient = gradients.get_or_alloc_mut(&mark)?;
                match operations {
                    Some(operations) => {
                        mark.device().try_fill_with_ones(gradient)?;
                        operations.run(gradients)
                    }
                    None => super::check(gradients.get(&mark).as_vec() == [E::ONE]),
                }
            });
        }
        Ok(())
    }

    /// Runs the backward pass.
    #[cfg(feature = "f16")]
    pub(crate) fn run(self, gradients: &mut Gradients<E, D>) -> Result<(), D::Err> {
        match self.operations {
            Some(operations) => operations.run(gradients),
            None => Ok(()),
        }
    }
}

impl<E, D: Storage<E>> fmt::Debug for Record<E, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.operations.as_ref().map(|list| list.0.len());
        f.debug_tuple("Record").field(&count).finish()
    }
}

/// The operations of a record, as a tape for dfdx's tensors.
pub struct Operations<E, D: Storage<E>>(Vec<(u64, Operation<E, D, D::Err>)>);

impl<E, D: Storage<E>> Operations<E, D> {
    /// Runs the operations in reverse order, dropping each one together with the data it holds.
    fn run(mut self, gradients: &mut Gradients<E, D>) -> Result<(), D::Err> {
        // dfdx's operations record parts of themselves on separate tapes and merge them later.
        self.0.sort_by_key(|(number, _)| *number);
        while let Some((_, operation)) = self.0.pop() {
            operation(gradients)?;
        }
        Ok(())
    }
}

impl<E, D: Storage<E>> Default for Operations<E, D> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E, D: Storage<E>> Merge<NoneTape> for Operations<E, D> {
    fn merge(self, NoneTape: NoneTape) -> Self {
        self
    }
}

impl<E, D: Storage<E>> Merge<Self> for Operations<E, D> {
    fn merge(mut self, mut other: Self) -> Self {
        self.0.append(&mut other.0);
        self
    }
}

impl<E, D: Storage<E>> Tape<E, D> for Operations<E, D> {
    const OWNS_TAPE: bool = true;

    fn add_backward_op<F>(&mut self, operation: F)
    where
        F: FnOnce(&mut Gradients<E, D>) -> Result<(), D::Err> + 'static,
    {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.0.push((number, Box::new(operation)));
    }
}

/// Calls a function on tensors with tapes, `plain(x, ..)`, with the operations of `record` as the tape of `x`.
macro_rules! with_tape {
    ($record:expr, $plain:ident($x:expr $(, $argument:expr)*)) => {
        match $record.take() {
            None => $plain($x $(, $argument)*),
            Some(tape) => {
                use dfdx::tensor::{PutTape, SplitTape};
                $plain($x.put_tape(tape) $(, $argument)*).map(|y| {
                    let (y, tape) = y.split_tape();
                    $record.put(tape);
                    y
                })
            }
        }
    };
}
pub(crate) use with_tape;
