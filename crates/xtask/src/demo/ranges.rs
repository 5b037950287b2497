//! Products and ranges, which `online-retail.csv` does not have: derived from code and description.

/// Ranges by the words of a description, singular or plural. The first one that has a word of it is
/// its range: seasons before goods, as a Christmas candle is sold as Christmas.
const RANGES: &[(&str, &[&str])] = &[
    ("christmas", &["CHRISTMAS", "XMAS", "ADVENT", "SNOWMAN", "REINDEER", "SANTA"]),
    ("easter", &["EASTER"]),
    (
        "jewellery",
        &[
            "NECKLACE", "BRACELET", "EARRING", "RING", "CHARM", "DIAMANTE", "BANGLE", "BROOCH",
            "HAIRCLIP",
        ],
    ),
    (
        "kitchen",
        &[
            "CAKE",
            "CAKESTAND",
            "BAKING",
            "MUG",
            "TEA",
            "TEAPOT",
            "COFFEE",
            "CUP",
            "BOWL",
            "PLATE",
            "JAR",
            "JUG",
            "TRAY",
            "CUTLERY",
            "PANTRY",
            "KITCHEN",
            "RECIPE",
            "EGG",
            "LUNCH",
        ],
    ),
    ("bags", &["BAG", "SHOPPER", "PURSE"]),
    ("lights", &["CANDLE", "LIGHT", "LANTERN", "LAMP", "NIGHTLIGHT"]),
    ("paper", &["CARD", "WRAP", "PAPER", "NOTEBOOK", "TISSUE", "RIBBON", "STICKER"]),
    ("garden", &["GARDEN", "FLOWER", "PLANT", "BIRD", "WATERING", "PARASOL"]),
    (
        "children",
        &["CHILDRENS", "DOLLY", "SPACEBOY", "TOY", "GIRL", "BOY", "KIDS", "JIGSAW", "FELTCRAFT"],
    ),
];

/// What no word says more about: most of it stands or hangs in a home.
const RANGE_OTHERWISE: &str = "home";

/// What is no goods: postage, fees, corrections by hand.
const SERVICES: &[&str] = &["POST", "DOT", "C2", "M", "D", "S", "B", "BANK CHARGES", "AMAZONFEE"];

/// The product of a code: its leading digits, without the letters of the variant, so that 85123A is
/// 85123. A code that begins otherwise is a product of its own, and a service is none.
pub fn product(code: &str) -> &str {
    let digits = code.bytes().take_while(u8::is_ascii_digit).count();
    match (is_service(code), digits) {
        (true, _) => "",
        (false, 0) => code,
        (false, digits) => &code[..digits],
    }
}

/// The range of a line: `services` and `vouchers` by its code, all others by its description.
pub fn range(code: &str, description: &str) -> &'static str {
    if is_service(code) {
        return "services";
    }
    if code.starts_with("gift_") {
        return "vouchers";
    }
    let description = description.to_ascii_uppercase();
    let words: Vec<&str> =
        description.split(|letter: char| !letter.is_ascii_alphabetic()).collect();
    let has =
        |word: &&str| words.iter().any(|one| one == word || one.strip_suffix('S') == Some(*word));
    let found = RANGES.iter().find(|(_, keywords)| keywords.iter().any(has));
    found.map_or(RANGE_OTHERWISE, |(name, _)| name)
}

fn is_service(code: &str) -> bool {
    SERVICES.iter().any(|service| service.eq_ignore_ascii_case(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_descriptions_give_product_and_range() {
        let table = [
            ("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", "85123", "lights"),
            ("84029G", "KNITTED UNION FLAG HOT WATER BOTTLE", "84029", "home"),
            ("17107D", "FLOWER FAIRY 5 DRAWER LINERS", "17107", "garden"),
            ("35598c", "White Christmas Tree 60cm", "35598", "christmas"),
            ("22812", "PACK 3 BOXES CHRISTMAS PANETTONE", "22812", "christmas"),
            // Whole words: no RING in it.
            ("21213", "ENGRAVING KIT", "21213", "home"),
            ("22776", "CAKESTAND, 3 TIER, LOVEHEART", "22776", "kitchen"),
            ("90069", "RUBY GLASS CLUSTER NECKLACES", "90069", "jewellery"),
            ("DCGS0076", "SUNJAR LED NIGHT NIGHT LIGHT", "DCGS0076", "lights"),
            ("gift_0001_40", "Dotcomgiftshop Gift Voucher £40.00", "gift_0001_40", "vouchers"),
            ("POST", "POSTAGE", "", "services"),
            ("m", "Manual", "", "services"),
            ("BANK CHARGES", "Bank Charges", "", "services"),
            ("PADS", "PADS TO MATCH ALL CUSHIONS", "PADS", "home"),
            ("22000", "", "22000", "home"),
        ];
        for (code, description, expected_product, expected_range) in table {
            assert_eq!(product(code), expected_product, "{code}");
            assert_eq!(range(code, description), expected_range, "{code}");
        }
    }
}
