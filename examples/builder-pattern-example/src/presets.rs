//! A preset is a plain function. One that is about the model makes a [`Policy`], one that is about the agent goes on
//! building it: `Agent::of(model.step().policy(presets::patient())).apply(presets::cautious)`.

use std::time::Duration;

use example_page::Section;
use llmspell::agent::{AgentBuilder, AgentReply};
use llmspell::model::Model;
use llmspell::{Agent, Breaker, Context, Outcome, Policy, Result, Retry, Step};
use llmspell_test::SimulatedModel;

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// For the model: tries again, waits as long as the server asks, and gives up when it keeps failing.
pub fn patient() -> Policy {
    let retry = Retry::exponential().max_attempts(6).base(millis(20)).after_output();
    Policy::new().retry(retry).breaker(Breaker::new()).timeout(Duration::from_secs(5))
}

/// For the model: one attempt.
pub fn hasty() -> Policy {
    Policy::new().timeout(millis(250))
}

/// For the agent: a whole answer or an error, and no more than it should cost.
pub fn cautious(agent: AgentBuilder) -> AgentBuilder {
    agent.deadline(Duration::from_secs(20)).max_turns(10).max_tokens(5_000).tool_limit(2)
}

/// For the agent: what there is in time is better than nothing.
pub fn fast(agent: AgentBuilder) -> AgentBuilder {
    agent.deadline(millis(300)).max_turns(3).partial()
}

pub const WORDS: u64 = 60;

/// A model as models are: a third of its requests are told to come back later, and a reply takes its time.
pub fn troubled() -> SimulatedModel {
    SimulatedModel::new("simulated/troubled")
        .first_token(millis(40), 0.0)
        .tokens_per_second(150.0)
        .reply_tokens(WORDS)
        .rate_limited(0.34, millis(60))
        .seed(5)
}

pub async fn run() -> Result<Section> {
    let mut section = Section::new("Presets: one model, two ways to use it");

    let model = troubled();
    let careful = Agent::of(model.clone().step().policy(patient())).apply(cautious).build()?;
    let (answered, whole_took) = ask_all(careful).await;
    let whole = answered.iter().filter(|outcome| words(outcome) == WORDS).count();
    let retries: u32 = answered.iter().map(|outcome| outcome.provenance.retries).sum();
    section.say(format!("patient(), cautious: {} questions, {} requests", answered.len(), model.requests()));
    section.claim(whole == answered.len(), format!("{whole} of {} answers are whole", answered.len()));
    section.claim(
        retries > 0 && model.requests() == answered.len() as u64 + u64::from(retries),
        format!("{retries} requests were rate limited, and retried after the given time"),
    );

    let model = troubled().rate_limited(0.0, Duration::ZERO);
    let quick = Agent::of(model.step().policy(hasty())).apply(fast).build()?;
    let (answered, took) = ask_all(quick).await;
    let cut = answered.iter().filter(|outcome| outcome.is_ok() && words(outcome) < WORDS).count();
    let marked = answered.iter().filter(|outcome| outcome.quality.as_str() == "partial").count();
    section.say(format!("hasty(), fast: {} of {WORDS} words, because {}", words(&answered[0]), answered[0].causes[0]));
    section.claim(
        2 * took < whole_took,
        format!(
            "all {} are answered after {} ms; whole ones took {}",
            answered.len(),
            took.as_millis(),
            whole_took.as_millis()
        ),
    );
    section.claim(
        cut == answered.len() && marked == cut,
        format!("{cut} answers are cut off, and {marked} of them say so: quality {}", answered[0].quality.as_str()),
    );
    Ok(section)
}

/// Six questions at once, and the time until all are answered.
async fn ask_all(agent: Agent) -> (Vec<Outcome<AgentReply>>, Duration) {
    let cx = Context::recording();
    let questions = (1..=6).map(|number| format!("Question {number}?").into());
    let mut answers = agent.named("agent").stream(questions, &cx).limit(6).ordered();
    let mut answered = Vec::new();
    while let Some(outcome) = answers.next().await {
        answered.push(outcome);
    }
    (answered, cx.report().wall)
}

fn words(outcome: &Outcome<AgentReply>) -> u64 {
    outcome.result.as_ref().map_or(0, |reply| reply.text.split_whitespace().count() as u64)
}
