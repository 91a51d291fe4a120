"""When the demo takes place, and what happens in it.

    hour 0      2016-09-07 00:00   the demo starts; an ordinary day
    hour 23     2016-09-07 23:00   station S2 trips while filling T3 (3.62 m): an injected fault
    hour 33-36  2016-09-08 09-12   the storm falls: 11.4, 45.7 and 30.4 mm in the hours ending 10:00, 11:00 and 12:00
    hour 34     2016-09-08 10:00   T3 has run empty: its district is out of supply
    hour 42     2016-09-08 18:00   the station is repaired; T3 fills until it meets the published level again
    hour 58     2016-09-09 10:00   a second shower, 20.3 mm in one hour
    hour 72     2016-09-10 00:00   the demo ends

No labelled attack of the SCADA record lies in the period (the first known one begins on 2016-09-13 at 23:00).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2016, 9, 7, tzinfo=UTC)
DURATION = timedelta(hours=72)
END = START + DURATION
STORM_BEGINS = datetime(2016, 9, 8, 9, tzinfo=UTC)
STORM_ENDS = datetime(2016, 9, 8, 12, tzinfo=UTC)
TRIP_STATION = "S2"
TRIP_AT = datetime(2016, 9, 7, 23, tzinfo=UTC)
REPAIRED_AT = datetime(2016, 9, 8, 18, tzinfo=UTC)
