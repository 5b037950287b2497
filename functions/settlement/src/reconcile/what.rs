//! What can be wrong with books, under which code, and what to do about it. Pure.

/// Two books that do not agree, or something that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema),
    schemars(rename = "DifferenceCode", rename_all = "snake_case")
)]
pub enum What {
    /// The accounts of a partition do not add up to zero.
    AccountsUnbalanced,
    /// A rain's pool has another number of cents than were never leased out.
    PoolDiffers,
    /// In a partition, what was given of a rain is not what is pending and posted of it.
    BudgetDiffers,
    /// Parts and openings of a packet are not what was sent.
    PacketDiffers,
    /// There was no use for a payment for a packet; it waits for an operator.
    PaymentUnapplied,
    /// A withdrawal is pending for 3 days, and has no end that is still to come.
    WithdrawalOverdue,
    /// Somebody opened a packet and has no token for it.
    OpeningUnpaid,
    /// A user's balance is not the sum of the entries.
    BalanceDiffers,
    /// A user's income is not that of the entries.
    IncomeDiffers,
    /// What is held is not what withdrawals hold.
    HeldDiffers,
    /// What left is not what withdrawals took.
    WithdrawnDiffers,
    /// An entry is missing or cannot be read.
    EntryBroken,
    /// An entry's order number is not marked as posted by it.
    PostedMarkDiffers,
    /// A withdrawal of an entry is missing, or of another amount.
    WithdrawalDiffers,
    /// A token cannot be read.
    TokenUnreadable,
    /// A token's signature is not right.
    TokenForged,
    /// A token is pending and posted.
    TokenTwice,
    /// A pending token is not queued.
    NotQueued,
    /// The cents that users of a partition have, hold or took are not those of its accounts.
    AccountDiffers,
    /// A template's pool has another number of coupons than were never leased out.
    StockDiffers,
    /// In a partition, coupons that were given of a template are not those that users have.
    IssuedDiffers,
    /// In a partition, coupons that are held are not those that are reserved.
    ReservedDiffers,
    /// A template's pool says that coupons did not use another sum than it knows of partitions.
    UnusedDiffers,
    /// In a partition, what coupons did not use of a template's budget is not what its orders returned.
    ReturnedDiffers,
    /// What coupons of a partition did not use has not come home, and nobody brings it.
    NotHome,
    /// The pool knows more of what coupons of a partition did not use than the partition does.
    UnusedAhead,
    /// A coupon whose rest is to be counted is not among those that are.
    CouponUnlisted,
    /// The coupons of a template that count for a user's limit are not those that the user has.
    CouponCountDiffers,
    /// What became of an order cannot be read.
    OrderBroken,
    /// A reservation is not among those that end.
    ReservationUnlisted,
    /// A user's chance for a campaign names groups of which one cannot have followed another.
    ChanceDiffers,
    /// The reward of a group that succeeded is not among those that are due.
    RewardUnlisted,
    /// A reward counts as given, and its order number gave nothing.
    RewardMissing,
    /// A user's uses of an activity are not those of the user's orders.
    UsesDiffer,
    /// The uses of an activity that count for all users are not those that orders hold.
    UsesOfAllDiffer,
    /// An order has no hold of what it took, or has not let go for good of what it gave back.
    HoldMissing,
    /// A hold is left of an order that does not have it.
    HoldLeft,
    /// An order is under way, and not among those that are.
    OrderUnlisted,
    /// A record cannot be read, or is not there although another one names it.
    RecordUnreadable,
    /// An operator dropped something that was set aside: nobody does it.
    Dropped,
}

impl What {
    /// Its stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::AccountsUnbalanced => "accounts_unbalanced",
            Self::PoolDiffers => "pool_differs",
            Self::BudgetDiffers => "budget_differs",
            Self::PacketDiffers => "packet_differs",
            Self::PaymentUnapplied => "payment_unapplied",
            Self::WithdrawalOverdue => "withdrawal_overdue",
            Self::OpeningUnpaid => "opening_unpaid",
            Self::BalanceDiffers => "balance_differs",
            Self::IncomeDiffers => "income_differs",
            Self::HeldDiffers => "held_differs",
            Self::WithdrawnDiffers => "withdrawn_differs",
            Self::EntryBroken => "entry_broken",
            Self::PostedMarkDiffers => "posted_mark_differs",
            Self::WithdrawalDiffers => "withdrawal_differs",
            Self::TokenUnreadable => "token_unreadable",
            Self::TokenForged => "token_forged",
            Self::TokenTwice => "token_twice",
            Self::NotQueued => "not_queued",
            Self::AccountDiffers => "account_differs",
            Self::StockDiffers => "stock_differs",
            Self::IssuedDiffers => "issued_differs",
            Self::ReservedDiffers => "reserved_differs",
            Self::UnusedDiffers => "unused_differs",
            Self::ReturnedDiffers => "returned_differs",
            Self::NotHome => "not_home",
            Self::UnusedAhead => "unused_ahead",
            Self::CouponUnlisted => "coupon_unlisted",
            Self::CouponCountDiffers => "coupon_count_differs",
            Self::OrderBroken => "order_broken",
            Self::ReservationUnlisted => "reservation_unlisted",
            Self::ChanceDiffers => "chance_differs",
            Self::RewardUnlisted => "reward_unlisted",
            Self::RewardMissing => "reward_missing",
            Self::UsesDiffer => "uses_differ",
            Self::UsesOfAllDiffer => "uses_of_all_differ",
            Self::HoldMissing => "hold_missing",
            Self::HoldLeft => "hold_left",
            Self::OrderUnlisted => "order_unlisted",
            Self::RecordUnreadable => "record_unreadable",
            Self::Dropped => "dropped",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::AccountsUnbalanced => {
                "stop posting; compare the accounts with the entries of the partition's users"
            }
            Self::PoolDiffers => {
                "stop the rain; compare the pool with the leases, and publish the right budget"
            }
            Self::BudgetDiffers => {
                "tokens were lost or came from elsewhere: ask clients to send theirs"
            }
            Self::PacketDiffers => "close the packet; pay the sender what is missing",
            Self::PaymentUnapplied => {
                "POST /v1/unapplied-payments/{payment_id}: credit the sender, or drop what was given back elsewhere"
            }
            Self::WithdrawalOverdue => {
                "ask the payment provider what became of it, and post or void it"
            }
            Self::OpeningUnpaid => "have the user open the packet again, which pays",
            Self::BalanceDiffers | Self::IncomeDiffers => {
                "the entries count: correct the account, and find out who wrote it"
            }
            Self::HeldDiffers | Self::WithdrawnDiffers | Self::WithdrawalDiffers => {
                "compare with the payment provider; void or post the withdrawal"
            }
            Self::EntryBroken => "restore the entry from a backup",
            Self::PostedMarkDiffers => {
                "mark the number as posted by its entry before anybody posts it again"
            }
            Self::TokenUnreadable | Self::TokenForged => {
                "remove the token; the client's copy restores it if there is a right one"
            }
            Self::TokenTwice => "post the user, which drops the copy",
            Self::NotQueued => "post the user",
            Self::AccountDiffers => {
                "the users' own accounts and entries count: correct the partition's account"
            }
            Self::StockDiffers => {
                "disable the template; compare the pool with the leases, and correct what is free"
            }
            Self::IssuedDiffers | Self::ReservedDiffers => {
                "the users' orders count: correct what is left in the partition's lease"
            }
            Self::UnusedDiffers => {
                "disable the template; the partitions' counts count: correct the pool's sum, and what is free by it"
            }
            Self::ReturnedDiffers => {
                "the users' orders count: correct what the partition's lease says was not used"
            }
            Self::NotHome => "publish the template again as it is, which brings it home",
            Self::UnusedAhead => {
                "after a fail-over: nothing; what the partition's coupons do not use next makes up for it"
            }
            Self::CouponUnlisted => "revoke the coupon, or extend it, which lists it again",
            Self::CouponCountDiffers => "the user's orders count: correct the user's count",
            Self::OrderBroken => "restore the order from a backup",
            Self::ReservationUnlisted => {
                "have the user cancel or confirm it, or cancel it for them"
            }
            Self::ChanceDiffers => {
                "compare with the events of the user's groups, and restore the chance from a backup"
            }
            Self::RewardUnlisted => "look at the user's coupons, which gives the reward",
            Self::RewardMissing => "give the user the coupon under another number",
            Self::UsesDiffer => "the user's orders count: correct the user's count",
            Self::UsesOfAllDiffer => "the holds count: correct what the activity counts",
            Self::HoldMissing => {
                "the order counts: restore its hold, or the tombstone of what it gave back, from a backup"
            }
            Self::HoldLeft => {
                "the order counts: let go of the hold, and take its uses off what the activity counts"
            }
            Self::OrderUnlisted => "take it again or give it back, which ends it",
            Self::RecordUnreadable => "restore the record from a backup",
            Self::Dropped => "if it is to be done after all, retry it",
        }
    }
}
