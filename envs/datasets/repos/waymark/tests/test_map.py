import unittest

from waymark import Map

TEXT = """
lodge - ford 25      # along the stream
ford - ridge 70 up
lodge - ridge 100
ridge - hut 40
island - pier 5
"""


class Maps(unittest.TestCase):
    def setUp(self):
        self.map = Map.read(TEXT)

    def test_the_quickest_way(self):
        self.assertEqual(self.map.route("lodge", "ridge"), (95, ["lodge", "ford", "ridge"]))

    def test_down_is_quicker_and_rounded_up(self):
        self.assertEqual(self.map.route("ridge", "ford"), (47, ["ridge", "ford"]))

    def test_closed_places_are_avoided(self):
        self.assertEqual(self.map.route("lodge", "ridge", closed={"ford"}), (100, ["lodge", "ridge"]))

    def test_there_may_be_no_way(self):
        self.assertIsNone(self.map.route("lodge", "pier"))
        self.assertIsNone(self.map.route("lodge", "nowhere"))

    def test_who_is_there_need_not_go(self):
        self.assertEqual(self.map.route("hut", "hut"), (0, ["hut"]))

    def test_of_two_paths_the_quicker_counts(self):
        self.map.add("lodge", "ford", 20)
        self.map.add("lodge", "ford", 30)
        self.assertEqual(self.map.route("lodge", "ford")[0], 20)

    def test_of_equal_ways_the_first_by_the_alphabet(self):
        found = Map.read("a - c 1\na - b 1\nc - d 1\nb - d 1\n")
        self.assertEqual(found.route("a", "d"), (2, ["a", "b", "d"]))

    def test_reach(self):
        self.assertEqual(self.map.reach("lodge", 95), ["ford", "ridge"])
        self.assertEqual(self.map.reach("lodge", 24), [])

    def test_bad_lines_are_named(self):
        for line in ("a b 3", "a - b", "a - b x", "a - b 0", "a - b 5 down"):
            with self.assertRaisesRegex(ValueError, "line 2: "):
                Map.read(f"a - b 1\n{line}\n")
