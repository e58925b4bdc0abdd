//! Tuples and vectors of contenders.

use std::pin::{Pin, pin};

use super::decide::{contender, decide, lane, merge_outcome};
use super::{Contenders, RaceOptions, Sealed};
use crate::context::Context;
use crate::error::Result;
use crate::pattern::branch::{Advance, Branch, later};
use crate::step::{Step, StepInfo};

macro_rules! contenders {
    ($($step:ident $branch:ident $lane:ident $index:tt),+) => {
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

            async fn contend(&self, input: In, cx: &Context, how: &RaceOptions) -> Result<Out> {
                $(let $lane = lane(cx, how, $index);)+
                $(let $branch = pin!(later(&self.$index, input.clone(), &$lane));)+
                drop(input);
                $(let mut $branch = Branch::new($branch);)+
                let names = [$(self.$index.info().name),+];
                let winner = decide(&mut [$(&mut $branch as &mut dyn Advance),+], &names, cx, how).await?;
                let (result, lane) = match winner {
                    $($index => ($branch.take(), &$lane),)+
                    _ => unreachable!("the winner is one of the contenders"),
                };
                merge_outcome(cx, lane, || contender(winner, names[winner]));
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

            fn contend(&self, input: S::In, cx: &Context, how: &RaceOptions) -> impl Future<Output = Result<S::Out>> + Send {
                contend(self, input, cx, how)
            }
        }
    };
}

list!(Vec<S>);
list!([S; N], N);

/// A race of any number of contenders.
async fn contend<S: Step<In: Clone>>(steps: &[S], input: S::In, cx: &Context, how: &RaceOptions) -> Result<S::Out> {
    let lanes: Vec<Context> = (0..steps.len()).map(|index| lane(cx, how, index)).collect();
    let names: Vec<Option<&str>> = steps.iter().map(|step| step.info().name).collect();
    let runs = steps.iter().zip(&lanes).map(|(step, lane)| later(step, input.clone(), lane));
    let mut work: Vec<Pin<Box<Option<_>>>> = runs.map(Box::pin).collect();
    drop(input);
    let mut branches: Vec<_> = work.iter_mut().map(|work| Branch::new(work.as_mut())).collect();
    let mut contenders: Vec<_> = branches.iter_mut().map(|branch| branch as &mut dyn Advance).collect();
    let winner = decide(&mut contenders, &names, cx, how).await?;
    merge_outcome(cx, &lanes[winner], || contender(winner, names[winner]));
    branches[winner].take().expect("the winner has completed")
}
