//! Why a request got nothing: refusals are normal answers of the business, each with a stable code.

/// A refusal. Nothing was changed, unless the case says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All coupons are out, or held.
    SoldOut,
    /// The amount does not last for another coupon.
    BudgetExhausted,
    /// The user has as many of this template as one user may have.
    UserLimit,
    /// The claim window has not begun.
    NotStarted,
    /// The claim window is over.
    Ended,
    /// The user is not new, or in none of the segments.
    NotEligible,
    /// Users who paid earlier are still being imported, and whether this one is new is to be asked elsewhere.
    ImportIncomplete,
    /// An operator switched the template or the campaign off.
    Disabled,
    /// There is no such template.
    UnknownTemplate,
    /// More would be taken off than one coupon may.
    OverSingleCap,
    /// The user gets awards of this scene faster than they may; so many seconds until the next one.
    RateLimited(u32),
    /// The user's record is full.
    TooManyCoupons,
    /// The number was used for something else.
    OrderNumberReused,
    /// It was ordered so long ago that what became of the number is forgotten: it acts no more.
    TooOld,
    /// Nothing is known under this order number.
    UnknownOrder,
    /// The user has no such coupon.
    UnknownCoupon,
    /// The reservation was cancelled.
    Cancelled,
    /// The reservation has expired.
    ReservationExpired,
    /// The order has a coupon already, which is no longer reserved.
    AlreadyConfirmed,
    /// The coupon is redeemed, by another order.
    AlreadyRedeemed,
    /// The redemption by this order was rolled back.
    RolledBack,
    /// More redemptions of one coupon were rolled back than it remembers.
    TooManyRollbacks,
    /// The redemption is so long ago that it cannot be rolled back any more.
    RedemptionFinal,
    /// The coupon was taken back.
    Revoked,
    /// The cart does not reach what the coupon demands.
    BelowThreshold,
    /// The cart is in another currency.
    WrongCurrency,
    /// The template still gives coupons.
    TemplateEnabled,
    /// The coupon is not valid yet.
    NotYetValid,
    /// The coupon is not valid any more.
    Expired,
    /// The coupon is reserved, and not given yet.
    NotConfirmed,
    /// Coupons were given, and this field cannot change any more.
    FieldFixed(&'static str),
    /// More coupons are out than the new stock or budget would allow.
    StockInUse,
    /// It was over for so long that it is closed for good, with its name.
    Sealed,
    /// Somebody else published at the same time.
    PublishedMeanwhile,
    /// The user's one chance for this campaign is used.
    ChanceUsed,
    /// There is no such campaign.
    UnknownCampaign,
    /// Nobody set up such a scene.
    UnknownScene,
    /// The batch has as many parts as one may have.
    BatchFull,
    /// Nothing was issued under this batch.
    UnknownBatch,
}

impl Refusal {
    /// Its code and sentence.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::SoldOut => ("sold_out", "no coupon is left"),
            Self::BudgetExhausted => ("budget_exhausted", "the budget is spent"),
            Self::UserLimit => ("user_limit", "the user has as many as one user may have"),
            Self::NotStarted => ("not_started", "the claim window has not begun"),
            Self::Ended => ("ended", "the claim window is over"),
            Self::NotEligible => ("not_eligible", "this is not for this user"),
            Self::ImportIncomplete => {
                ("import_incomplete", "whether the user is new is not known here yet")
            }
            Self::Disabled => ("disabled", "the template or campaign is switched off"),
            Self::UnknownTemplate => ("unknown_template", "there is no such template"),
            Self::OverSingleCap => {
                ("over_single_cap", "the amount is above what one coupon may take off")
            }
            Self::RateLimited(_) => ("rate_limited", "the user gets awards of this scene too fast"),
            Self::TooManyCoupons => ("too_many_coupons", "the user's record is full"),
            Self::OrderNumberReused => {
                ("order_number_reused", "the number was used with another body")
            }
            Self::TooOld => {
                ("too_old", "it was ordered so long ago that what became of it is not kept")
            }
            Self::UnknownOrder => ("unknown_order", "nothing is known under this number"),
            Self::UnknownCoupon => ("unknown_coupon", "the user has no such coupon"),
            Self::Cancelled => ("cancelled", "the reservation was cancelled"),
            Self::ReservationExpired => ("reservation_expired", "the reservation has expired"),
            Self::AlreadyConfirmed => {
                ("already_confirmed", "the coupon is given and no longer reserved")
            }
            Self::AlreadyRedeemed => {
                ("already_redeemed", "the coupon is redeemed by another order")
            }
            Self::RolledBack => ("rolled_back", "the redemption by this order was rolled back"),
            Self::TooManyRollbacks => {
                ("too_many_rollbacks", "the coupon was rolled back too many times")
            }
            Self::RedemptionFinal => {
                ("redemption_final", "the redemption cannot be rolled back any more")
            }
            Self::Revoked => ("revoked", "the coupon was taken back"),
            Self::BelowThreshold => {
                ("below_threshold", "the order is below what the coupon demands")
            }
            Self::WrongCurrency => ("wrong_currency", "the coupon is in another currency"),
            Self::TemplateEnabled => {
                ("template_enabled", "the template still gives coupons: switch it off first")
            }
            Self::NotYetValid => ("not_yet_valid", "the coupon is not valid yet"),
            Self::Expired => ("expired", "the coupon is not valid any more"),
            Self::NotConfirmed => ("not_confirmed", "the coupon is only reserved"),
            Self::FieldFixed(_) => ("field_fixed", "this cannot change any more"),
            Self::StockInUse => ("stock_in_use", "more coupons are out than that would allow"),
            Self::Sealed => {
                ("sealed", "it was over for so long that it is closed for good; take another name")
            }
            Self::PublishedMeanwhile => {
                ("published_meanwhile", "somebody else published at the same time")
            }
            Self::ChanceUsed => ("chance_used", "the user's one chance for this campaign is used"),
            Self::BatchFull => ("batch_full", "a batch has at most 1023 parts"),
            Self::UnknownBatch => ("unknown_batch", "nothing was issued under this batch"),
            Self::UnknownCampaign => ("unknown_campaign", "there is no such campaign"),
            Self::UnknownScene => ("unknown_scene", "nobody set up such a scene"),
        }
    }

    /// Its stable code.
    pub fn code(self) -> &'static str {
        self.words().0
    }

    /// What it says to a person.
    pub fn detail(self) -> &'static str {
        self.words().1
    }

    /// The field that it is about, where it is about one.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::FieldFixed(field) => Some(field),
            Self::StockInUse => Some("stock"),
            Self::TooOld => Some("order_number"),
            _ => None,
        }
    }

    /// Seconds after which asking again may help, where that is known.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited(seconds) => Some(seconds),
            _ => None,
        }
    }
}

/// Why an operation gave nothing.
pub type Failure = store::Failure<Refusal>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
