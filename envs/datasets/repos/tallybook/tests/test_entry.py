import unittest
from datetime import date

from tallybook.entry import Entry, format_cents, parse_cents


class Amounts(unittest.TestCase):
    def test_whole_and_broken_amounts(self):
        self.assertEqual([parse_cents(text) for text in ("12", "3.5", "0.07", "100.00")], [1200, 350, 7, 10000])

    def test_signs(self):
        self.assertEqual([parse_cents(text) for text in ("-0.50", "+2", "-7.1")], [-50, 200, -710])

    def test_what_is_no_amount_is_refused(self):
        for text in ("", "1,5", "1.234", ".5", "1.", "x"):
            with self.assertRaises(ValueError):
                parse_cents(text)

    def test_amounts_are_printed_with_two_decimals(self):
        self.assertEqual([format_cents(cents) for cents in (0, 5, -5, 1234, -100)], ["0.00", "0.05", "-0.05", "12.34", "-1.00"])


class Lines(unittest.TestCase):
    def test_a_line_with_a_note(self):
        entry = Entry.parse("2024-03-01 -12.50 food at the market")
        self.assertEqual(entry, Entry(date(2024, 3, 1), -1250, "food", "at the market"))

    def test_a_line_without_one(self):
        self.assertEqual(Entry.parse("2024-03-02 5 gifts").note, "")

    def test_a_short_line_is_refused(self):
        with self.assertRaises(ValueError):
            Entry.parse("2024-03-02 5")
