import unittest

from waymark import Map, plan

MAP = Map.read("lodge - ford 25\nford - ridge 70 up\nridge - hut 40\nhut - peak 90 up\nisland - pier 5\n")


class Plans(unittest.TestCase):
    def test_a_short_walk_has_no_rest(self):
        self.assertEqual(plan(MAP, ["lodge", "ridge"], "8:00"), ["8:00 lodge", "8:25 ford", "9:35 ridge", "1 h 35 min in all"])

    def test_a_rest_after_two_hours(self):
        lines = plan(MAP, ["lodge", "peak"], "6:05")
        self.assertEqual(lines[3:], ["8:20 hut", "8:35 hut, after a rest", "10:05 peak", "4 h in all"])

    def test_no_rest_at_the_end(self):
        self.assertEqual(plan(MAP, ["lodge", "hut"], "6:00")[-2:], ["8:15 hut", "2 h 15 min in all"])

    def test_places_on_the_way(self):
        lines = plan(MAP, ["ford", "lodge", "ford"], "9:00")
        self.assertEqual(lines, ["9:00 ford", "9:25 lodge", "9:50 ford", "50 min in all"])

    def test_no_way(self):
        with self.assertRaises(ValueError):
            plan(MAP, ["lodge", "pier"], "9:00")
