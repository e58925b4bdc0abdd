//! Contenders in tuples, vectors and arrays.

use std::pin::{Pin, pin};

use super::decide::{contender_context, decide, merge_winner, served_by_contender};
use super::{Contenders, RaceOptions, Sealed};
use crate::context::Context;
use crate::error::Result;
use crate::pattern::branch::{Branch, DynBranch, lazy};
use crate::step::{Step, StepInfo};

macro_rules! contenders {
    ($($step:ident $branch:ident $below:ident $index:tt),+) => {
        impl<In, Out, $($step),+> Sealed for ($($step,)+)
        where
            In: Clone + Send + 'static,
            Out: Send + 'static,
            $($step: Step<In = In, Out = Out>,)+
        {
        }

        impl<In, Out, $($step),+> Contenders for ($($step,)+)
        where
            In: Clone + Send + 'static,
            Out: Send + 'static,
            $($step: Step<In = In, Out = Out>,)+
        {
            type In = In;
            type Out = Out;

            fn info(&self) -> StepInfo<'_> {
                StepInfo::all([$(self.$index.info()),+])
            }

            async fn contend(&self, input: In, cx: &Context, options: &RaceOptions) -> Result<Out> {
                $(let $below = contender_context(cx, options, $index);)+
                $(let $branch = pin!(lazy(&self.$index, input.clone(), &$below));)+
                drop(input);
                $(let mut $branch = Branch::new($branch);)+
                let names = [$(self.$index.info().name),+];
                let winner = decide(&mut [$(&mut $branch as &mut dyn DynBranch),+], &names, cx, options).await?;
                let (result, below) = match winner {
                    $($index => ($branch.take(), &$below),)+
                    _ => unreachable!("the winner is one of the contenders"),
                };
                merge_winner(cx, below, || served_by_contender(winner, names[winner]));
                result.expect("the winner has completed")
            }
        }
    };
}

contenders!(A a la 0, B b lb 1);
contenders!(A a la 0, B b lb 1, C c lc 2);
contenders!(A a la 0, B b lb 1, C c lc 2, D d ld 3);
contenders!(A a la 0, B b lb 1, C c lc 2, D d ld 3, E e le 4);
contenders!(A a la 0, B b lb 1, C c lc 2, D d ld 3, E e le 4, F f lf 5);
contenders!(A a la 0, B b lb 1, C c lc 2, D d ld 3, E e le 4, F f lf 5, G g lg 6);
contenders!(A a la 0, B b lb 1, C c lc 2, D d ld 3, E e le 4, F f lf 5, G g lg 6, H h lh 7);

macro_rules! list {
    ($list:ty $(, $n:ident)?) => {
        impl<S: Step<In: Clone> $(, const $n: usize)?> Sealed for $list {}

        impl<S: Step<In: Clone> $(, const $n: usize)?> Contenders for $list {
            type In = S::In;
            type Out = S::Out;

            fn info(&self) -> StepInfo<'_> {
                StepInfo::all(self.iter().map(Step::info))
            }

            fn contend(&self, input: S::In, cx: &Context, options: &RaceOptions) -> impl Future<Output = Result<S::Out>> + Send {
                contend(self, input, cx, options)
            }
        }
    };
}

list!(Vec<S>);
list!([S; N], N);

/// Runs a race of any number of contenders.
async fn contend<S: Step<In: Clone>>(steps: &[S], input: S::In, cx: &Context, options: &RaceOptions) -> Result<S::Out> {
    let contexts: Vec<Context> = (0..steps.len()).map(|index| contender_context(cx, options, index)).collect();
    let names: Vec<Option<&str>> = steps.iter().map(|step| step.info().name).collect();
    let runs = steps.iter().zip(&contexts).map(|(step, below)| lazy(step, input.clone(), below));
    let mut work: Vec<Pin<Box<Option<_>>>> = runs.map(Box::pin).collect();
    drop(input);
    let mut branches: Vec<_> = work.iter_mut().map(|work| Branch::new(work.as_mut())).collect();
    let mut contenders: Vec<_> = branches.iter_mut().map(|branch| branch as &mut dyn DynBranch).collect();
    let winner = decide(&mut contenders, &names, cx, options).await?;
    merge_winner(cx, &contexts[winner], || served_by_contender(winner, names[winner]));
    branches[winner].take().expect("the winner has completed")
}
