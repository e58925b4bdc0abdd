//! Groups of steps of different types.

use std::pin::pin;
use std::sync::Arc;

use super::{Group, JoinOptions, Sealed, group_error, stopped};
use crate::context::Context;
use crate::error::Result;
use crate::observe::outcome::Outcome;
use crate::pattern::branch::{Branch, DynBranch, lazy, run_all};
use crate::step::{Step, StepInfo};

macro_rules! group {
    ($members:literal: $($step:ident $branch:ident $cx:ident $index:tt),+) => {
        impl<In: Clone + Send + 'static, $($step: Step<In = In>),+> Sealed for ($($step,)+) {}

        impl<In: Clone + Send + 'static, $($step: Step<In = In>),+> Group for ($($step,)+) {
            type In = In;
            type Outs = ($($step::Out,)+);
            type Outcomes = ($(Outcome<$step::Out>,)+);

            async fn join(self: &Arc<Self>, input: In, cx: &Context, options: JoinOptions) -> Result<Self::Outs> {
                $(let $branch = pin!(lazy(&self.$index, input.clone(), cx));)+
                drop(input);
                $(let mut $branch = Branch::new($branch);)+
                run_all(&mut [$(&mut $branch as &mut dyn DynBranch),+], options.limit, options.fail_fast).await;
                match ($($branch.take(),)+) {
                    ($(Some(Ok($branch)),)+) => Ok(($($branch,)+)),
                    ($($branch,)+) => {
                        let mut failures = Vec::new();
                        $(failures.extend($branch.and_then(Result::err));)+
                        Err(group_error(failures, $members))
                    }
                }
            }

            fn info(&self) -> StepInfo<'_> {
                StepInfo::all([$(self.$index.info()),+])
            }

            async fn settle(self: &Arc<Self>, input: In, cx: &Context, options: JoinOptions) -> Self::Outcomes {
                $(let $cx = cx.scope(None);)+
                $(let $branch = pin!(lazy(&self.$index, input.clone(), &$cx));)+
                drop(input);
                $(let mut $branch = Branch::new($branch);)+
                run_all(&mut [$(&mut $branch as &mut dyn DynBranch),+], options.limit, options.fail_fast).await;
                ($($cx.outcome($index, $branch.take().unwrap_or_else(|| Err(stopped()))),)+)
            }
        }
    };
}

group!(2: A a ca 0, B b cb 1);
group!(3: A a ca 0, B b cb 1, C c cc 2);
group!(4: A a ca 0, B b cb 1, C c cc 2, D d cd 3);
group!(5: A a ca 0, B b cb 1, C c cc 2, D d cd 3, E e ce 4);
group!(6: A a ca 0, B b cb 1, C c cc 2, D d cd 3, E e ce 4, F f cf 5);
group!(7: A a ca 0, B b cb 1, C c cc 2, D d cd 3, E e ce 4, F f cf 5, G g cg 6);
group!(8: A a ca 0, B b cb 1, C c cc 2, D d cd 3, E e ce 4, F f cf 5, G g cg 6, H h ch 7);
