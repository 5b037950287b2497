//! The contract of this function, in native builds alone.

use domain::order_number::OrderNumber;
use edge::contract::operation::{order_number, user};
use edge::contract::{Function, Operation as Promise, Parameter};
use edge::variable::{DEVELOPMENT, OF_CALLERS, OF_STORE, TOKEN_VERIFYING_KEYS, WALLET_CURRENCY};
use schemars::JsonSchema;
use serde_json::{Value, json};
use wallet::token::TokenError;
use wallet::view::WrongToken;

use crate::parse::{PAGE_DEFAULT, PAGE_MAX, RestoreBody, VoidBody, WithdrawalBody};
use crate::refusal::Refusal;
use crate::render::{FoundBody, PageBody, ViewBody, WithdrawalBody as WithdrawalAnswer};
use crate::{Operation, ROUTES};

type Withdrawal = WithdrawalAnswer<'static>;

/// The contract.
#[must_use]
pub fn contract() -> Function {
    let description = "What a user has, posted or not, what moved, and withdrawals in two phases.";
    Function::new("balance", description, ROUTES, promise).reads(&[
        &OF_STORE,
        &OF_CALLERS,
        &[TOKEN_VERIFYING_KEYS, WALLET_CURRENCY, DEVELOPMENT],
    ])
}

fn withdrawal() -> Parameter {
    Parameter::path::<OrderNumber>("withdrawal_number").example("W-1")
}

/// Entries of a page.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is of use")]
struct Limit(#[schemars(range(min = 1, max = PAGE_MAX))] u32);

/// Why a token does not count.
fn tokens() -> [Refusal; 5] {
    let wrong = |why| Refusal::Token(WrongToken { index: 0, why });
    [
        wrong(TokenError::Malformed("")),
        wrong(TokenError::UnknownKey),
        wrong(TokenError::KeyExpired),
        wrong(TokenError::BadSignature),
        wrong(TokenError::Foreign),
    ]
}

/// What a user has, as examples show it.
fn has() -> Value {
    json!({
        "user": "7",
        "currency": "CNY",
        "balance": "100",
        "pending": "100",
        "income": "100",
        "withdrawn": "0",
        "held": "0"
    })
}

/// With a token that was put back.
fn has_again() -> Value {
    let mut has = has();
    has["restored"] = 1.into();
    has
}

fn withdrawal_that_is(state: &str) -> Value {
    json!({
        "withdrawal_number": "W-1",
        "amount": "100",
        "state": state,
        "at": "2026-02-16T20:00:00Z"
    })
}

fn promise(operation: Operation) -> Promise {
    match operation {
        Operation::View => Promise::new("readBalance", "What does a user have?")
            .description(
                "Every order number counts once, whether its token is posted or not.",
            )
            .parameter(user())
            .answers::<ViewBody<'static>>(200, "What the user has.", has()),
        Operation::Restore => Promise::new("restoreTokens", "The same, with the tokens that the client holds")
            .description(
                "A token that the store has, posted or not, counts there. One that it has lost is put back. One \
                 that is so old that what became of it is not kept is named in `too_old`, and not put back: it \
                 counts in the account already; send it no more.",
            )
            .parameter(user())
            .body::<RestoreBody>(json!({"tokens": ["CkgIABAHGgZzcHJpbmci"]}))
            .answers::<ViewBody<'static>>(200, "What the user has, with what the store had lost.", has_again())
            .malformed("The request is malformed; `field` names where. `too_many_tokens`: more than 100.", &["invalid_id", "too_many_tokens"])
            .refuses("A token does not count, and none was put back; `field` names it.", tokens()),
        Operation::Post => Promise::new("postTokens", "Post whatever the user was given")
            .parameter(user())
            .answers::<ViewBody<'static>>(200, "What the user has.", has()),
        Operation::Statement => Promise::new("readStatement", "What moved, the latest first")
            .description(
                "A page that begins after the first 40 lines is refused with `statements_limited` while an operator \
                 has switched `statements` to `first_screens`. Entries that are older than operators keep them \
                 become one line a month, behind the last entry, and at last one line for all before.",
            )
            .parameter(user())
            .parameter(Parameter::query::<String>("cursor").description("Of the page before. One since whose first page more than 2,000 entries were added is refused."))
            .parameter(Parameter::query::<Limit>("limit").default(PAGE_DEFAULT))
            .answers::<PageBody<'static>>(200, "One page; `cursor` is there where more may follow. What is not posted comes first; while it is \
                 posted, nothing comes twice or not at all.", json!({
                    "entries": [
                        {
                            "kind": "rain",
                            "order_number": "7_spring_rain_1_a_live",
                            "amount": "100",
                            "at": "2026-02-16T12:00:01Z",
                            "posted": false
                        },
                        {
                            "kind": "withdrawal",
                            "order_number": "W-1",
                            "amount": "-100",
                            "at": "2026-02-15T20:00:00Z",
                            "posted": true
                        },
                        {
                            "kind": "carried",
                            "month": "2025-01",
                            "count": 31,
                            "amount": "1200",
                            "at": "2025-01-31T08:00:00Z",
                            "posted": true
                        }
                    ]
                }))
            .malformed("The user, the cursor or the limit is none; `field` names which.", &["invalid_id", "invalid_value"])
            .refuses("`statements_limited`: only the first two screens are shown now.", [Refusal::StatementsLimited]),
        Operation::LookUp => Promise::new("readGrant", "What did this number give?")
            .parameter(user())
            .parameter(order_number())
            .answers::<FoundBody<'static>>(200, "What it gave.", json!({
                    "order_number": "7_spring_rain_1_a_live",
                    "activity": "spring",
                    "scene": "rain",
                    "amount": "100",
                    "at": "2026-02-16T12:00:01Z",
                    "posted": false
                }))
            .refuses("Nothing is known under this number, or it gave something so long ago that its entry became a part \
                 of the line of its month.", [Refusal::UnknownOrder]),
        Operation::Withdraw => Promise::new("withdraw", "Hold money for a withdrawal, exactly once")
            .description(
                "Whatever the user was given is posted before. Then pay out, and say what became of it: `post` or \
                 `void`. With `expires_in_seconds` it is voided at its end, if it is still pending then; without it \
                 no machine voids it, and a reconciliation names it once it was pending for 3 days \
                 (`withdrawal_overdue`). What became of a number is told for as long as it is kept, at least 7 days \
                 after it ended; later the number is `too_old`, and never acts again.",
            )
            .parameter(user())
            .body::<WithdrawalBody>(json!({
                    "withdrawal_number": "W-1",
                    "amount": "100",
                    "ordered_at": "2026-02-16T20:00:00Z",
                    "expires_in_seconds": 86400
                }))
            .answers::<Withdrawal>(201, "Held, now or earlier; `state` is what became of it.", json!({
                    "withdrawal_number": "W-1",
                    "amount": "100",
                    "state": "pending",
                    "at": "2026-02-16T20:00:00Z",
                    "ordered_at": "2026-02-16T20:00:00Z",
                    "expires_at": "2026-02-17T20:00:00Z",
                    "replayed": false
                }))
            .replays()
            .malformed("The withdrawal is wrong; `field` names where. `invalid_amount`: at least 1. `invalid_value`: among \
                 others `ordered_at` more than 5 minutes in the future.", &["invalid_id", "invalid_order_number", "invalid_amount"])
            .refuses("A normal answer of the business. `exceeds_balance`: the user had less, which stands for this \
                 number. `already_voided`: before it came.", [Refusal::ExistsWithDifferentAmount, Refusal::ExceedsBalance, Refusal::AlreadyVoided])
            .refuses("`order_number_reused`: the number was used with another `ordered_at` or `expires_in_seconds`. \
                 `too_old`: it was ordered so long ago that what became of it is not kept; nothing was changed.", [Refusal::OrderNumberReused, Refusal::TooOld]),
        Operation::LookAtWithdrawal => Promise::new("readWithdrawal", "What became of a withdrawal?")
            .parameter(user())
            .parameter(withdrawal())
            .answers::<Withdrawal>(200, "As it is now.", withdrawal_that_is("pending"))
            .refuses("Nobody asked for it, or it ended so long ago that what became of it is not kept.", [Refusal::UnknownWithdrawal]),
        Operation::PostWithdrawal => Promise::new("postWithdrawal", "The money left")
            .parameter(user())
            .parameter(withdrawal())
            .answers::<Withdrawal>(200, "It is posted.", withdrawal_that_is("posted"))
            .refuses("Nobody asked for it, or it ended so long ago that what became of it is not kept.", [Refusal::UnknownWithdrawal])
            .refuses("Nothing was changed; after a lost reply `already_posted` is a success.", [Refusal::AlreadyPosted, Refusal::AlreadyVoided, Refusal::ExceedsBalance]),
        Operation::VoidWithdrawal => Promise::new("voidWithdrawal", "The money comes back")
            .description(
                "A number that never came is kept from coming late, for as long as such a number is kept.",
            )
            .parameter(user())
            .parameter(withdrawal())
            .optional_body::<VoidBody>(json!({"ordered_at": "2026-02-16T20:00:00Z"}))
            .answers::<Withdrawal>(200, "It is voided. A number that never came can come no more.", withdrawal_that_is("voided"))
            .refuses("Nothing was changed; after a lost reply `already_voided` is a success.", [Refusal::AlreadyPosted, Refusal::AlreadyVoided, Refusal::ExceedsBalance])
            .refuses("`too_old`: nothing is known under the number, and it was ordered so long ago that what became of \
                 it is not kept; nothing was changed.", [Refusal::TooOld]),
    }
}
