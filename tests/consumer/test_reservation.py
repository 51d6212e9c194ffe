# SPDX-License-Identifier: Apache-2.0
"""Somebody else's saga (examples/custom_saga): its tests, its program on SQLite, and what that leaves behind."""

import os
import shutil
import unittest

from outsider import build, run, take

PLAY = """\
The guest comes, and has the deposit back:
  ReserveTable: done
  AnswerRequest: done
  SeatGuest: done
  = Seated, deposit Returned
The deposit is declined, and the guest asks again:
  ReserveTable: refused, DepositDeclined
  ReserveTable: as before, DepositDeclined
  = no reservation
The restaurant refuses:
  ReserveTable: done
  AnswerRequest: done
  = Canceled, deposit Returned
The restaurant doesn't answer:
  ReserveTable: done
  = Canceled, deposit Returned
The guest cancels in time:
  ReserveTable: done
  AnswerRequest: done
  CancelReservation: done
  = Canceled, deposit Returned
The guest cancels too late, and doesn't come:
  ReserveTable: done
  AnswerRequest: done
  CancelReservation: refused, CancelRefused
  = NotShown, deposit Kept
"""


class Reservation(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.folder = build(take("custom_saga"))

    def test_its_rules(self):
        self.assertIn("[  PASSED  ]", run(self.folder / "test_reservation"))

    def test_it_is_played_on_sqlite_and_can_be_read_by_sql(self):
        shutil.rmtree("play", ignore_errors=True)
        os.mkdir("play")
        for count in (1, 2):
            self.assertEqual(run(self.folder / "reservation", "play/tables.db"), PLAY)
            rows = run("sqlite3", "play/tables.db", "SELECT status, deposit, deposit_minor FROM reservations")
            self.assertEqual(
                sorted(rows.split()),
                sorted(["Seated|Returned|20000", "NotShown|Kept|20000"] * count + ["Canceled|Returned|20000"] * 3 * count),
            )
            # Of the one that was declined there are events, and a saga that was undone.
            sagas = run("sqlite3", "play/tables.db", "SELECT phase, count(*) FROM sagas GROUP BY phase")
            self.assertEqual(sagas.split(), [f"ended|{2 * count}", f"undone|{4 * count}"])

    def test_an_answer_of_another_key_comes_back_whatever_crashes(self):
        self.assertEqual(run(self.folder / "seats"), "each was told what the evening decided\n")

    def test_its_saga_is_printed_as_a_graph(self):
        graph = run(self.folder / "reservation", "--graph")
        self.assertTrue(graph.startswith('digraph "reservation" {'))
        for edge in (
            's0 -> s1 [label="TableRequested"]',
            's1 -> undone [style=dashed, label="DepositDeclined | RequestAbandoned"]',
            's5 -> s6 [style=bold, label="GuestSeated"]',
            'i0 -> undone [style=dashed, label="TableReleased"]',
        ):
            self.assertIn(edge, graph)


if __name__ == "__main__":
    unittest.main()
