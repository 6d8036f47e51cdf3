"""English sentences on several topics, and questions that share few words with them."""

from __future__ import annotations

TOPICS: dict[str, tuple[str, ...]] = {
    "cooking": (
        "Simmer the tomatoes with garlic and basil until the sauce thickens.",
        "Knead the dough for ten minutes and let it rise under a damp towel.",
        "A pinch of salt brings out the sweetness of caramel.",
        "Roast the carrots at a high temperature so that they brown at the edges.",
        "Whisk the egg whites until they hold stiff peaks.",
    ),
    "astronomy": (
        "Jupiter's great red spot is a storm wider than the Earth.",
        "A neutron star packs more mass than the Sun into a ball of twenty kilometres.",
        "The telescope found water vapour in the air of a distant planet.",
        "Comets grow tails when the solar wind blows gas off their surface.",
        "Our galaxy holds at least a hundred billion stars.",
    ),
    "football": (
        "The striker scored twice in the last ten minutes.",
        "Their goalkeeper saved a penalty and kept the match level.",
        "The coach was sent off for shouting at the referee.",
        "After extra time the final was decided by a shoot-out.",
        "The defender tore a ligament and will miss the rest of the season.",
    ),
    "programming": (
        "The function leaks memory because the buffer is never freed.",
        "Every commit runs the unit tests before it can be merged.",
        "An index on that column made the database query a hundred times faster.",
        "The compiler rejects a variable that is used before it is assigned.",
        "We replaced recursion with a loop to avoid a stack overflow.",
    ),
    "medicine": (
        "The vaccine protects infants against measles and mumps.",
        "High blood pressure often goes unnoticed for years.",
        "The surgeon replaced the patient's worn-out hip joint.",
        "Antibiotics do not help against a cold, which is caused by a virus.",
        "The nurse measured the child's fever every two hours.",
    ),
    "music": (
        "The pianist played a nocturne by Chopin as an encore.",
        "The band tuned their guitars and checked the microphones.",
        "A choir of forty voices sang the requiem.",
        "The drummer keeps the rhythm while the saxophone improvises.",
        "She practises scales on the violin before breakfast.",
    ),
    "gardening": (
        "Prune the roses in early spring before new buds appear.",
        "Slugs ate the lettuce seedlings overnight.",
        "Compost from kitchen scraps makes the soil richer.",
        "Tulip bulbs are planted in autumn and bloom in April.",
        "Water the young trees deeply once a week in summer.",
    ),
    "money": (
        "The central bank raised interest rates to slow inflation.",
        "She put her savings into an index fund with low fees.",
        "The company's shares fell after it missed its profit forecast.",
        "A mortgage with a fixed rate protects borrowers from rising costs.",
        "They filed their tax return a day before the deadline.",
    ),
}

QUESTIONS: dict[str, str] = {
    "cooking": "How do I prepare a tasty dinner?",
    "astronomy": "What is out there in space?",
    "football": "Who won the soccer game?",
    "programming": "Why does my software crash?",
    "medicine": "How do doctors treat the sick?",
    "music": "Which instruments are heard at the concert?",
    "gardening": "How do I look after flowers and vegetables in my yard?",
    "money": "What should I do with my investments?",
}

# In other languages and scripts, of which the small multilingual checkpoints of the tests know words.
OTHERS = (
    "a photo of a cat",
    "café naïve Ångström",
    "敏捷的棕色狐狸跳过了懒狗",
    "素早い茶色の狐がのろまな犬を飛び越える",
    "다람쥐 헌 쳇바퀴에 타고파",
    "Съешь ещё этих мягких французских булок",
    "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία",
    "שָׁלוֹם עולם",
    "बिल्ली चटाई पर बैठी है",
    "แมวนั่งอยู่บนเสื่อ กำลังหลับ",
)
