"""Whatever stands in the fields of an ADT: valid resources and a full account, or a refusal."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.hl7.mapping.messages import adt
from adapters.hl7.message.tokenizer import parse
from tests.adapters.hl7.inbox.test_hostile_messages import WORDS, check

HEADER = "MSH|^~\\&|LIS|LAB|EHR|HOSP|20260102030405+0530||ADT^{}|C1|P|2.5.1"
DOCTOR = "7^Iyer^Ravi^^^^MD^^HR"
# A message in which every field that is read says something.
SEGMENTS = f"""\
EVN|A01|20260102030400|20260103|01|{DOCTOR}|20260102030000|HOSP
PID|1|X9^^^OLD|P1^^^HOSP&1.2.3&ISO^MR~N1^^^NAT^NI|Y9|Rao&van^Asha^K^Jr^Dr^MBBS^L|Das|198001020304|F
 |Al^N|2106-3|1 Road^Flat^Pune^MH^411001^IN^H^^D^C|Haveli|^PRN^PH^^91^20^5^1|^WPN^Internet^a@b.c|EN
 |M|HIN|ACC1^^^HOSP|123|DL9^MH^20300101|M1^^^HOSP^MR|H|Pune|Y|2|IN|V|IN|20260101|Y|N|AL|20260101
 |HOSP|CAN|LAB|s|p|T|^PRS^CP^^^^9
PD1|||PHC^^77|{DOCTOR}||H|Y|||||||Temple
NTE|1||note
ROL|R1|AD|PP|{DOCTOR}|20200101|20210101|D||T|O|1 Road|^WPN^PH^^^^4|CLIN|ACME
NK1|1|Rao^Ravi|SPO|1 Road^^Pune|^PRN^PH^^^^7|^WPN^PH^^^^8|N|20200101|20250101|||E1|ACME^^9||M
 |19790101||||EN||||||||||Boss^B|^WPN^PH^^^^9|2 Street|K1^^^HOSP||||SS1|||^PRS^CP^^^^3|5
NK1|2|Rao^Ravi|EMR|1 Road^^Pune|^PRN^PH^^^^7|^WPN^PH^^^^8|E|20200101|20250101||||ACME^^9||M
PV1|1|I|W1^R2^B3^HOSP^^^BLD^F2^Desc^LID&HOSP^AUTH|R|PA1^^^HOSP|W0^R1^B1|{DOCTOR}|{DOCTOR}|{DOCTOR}
 |MED|TMP^1^1||R|7|A2~B6~A0|VIP|{DOCTOR}|PT|V1^^^HOSP|SELF^20260101||||||||||||||||01|SNF^20260110
 |REG||O||W9^R9^B9||20260101100000|20260105|||||V1B^^^HOSP||^Ot^E|Asthma|EP1^^^HOSP
PV2|W5^R5^B5||R07^Chest pain^I10|||||20260101|20260110||3|Pain|{DOCTOR}|||||||||Y|||1
 |||||||||||||A
ROL|R2|AD|AD|{DOCTOR}|20200101|20210101|D||T|O|1 Road|^WPN^PH^^^^4|W1|ACME
PRT|1|AD||RP|{DOCTOR}|T||ACME|W1||20200101|20210101||1 Road|^WPN^PH^^^^4
AL1|1|DA|PEN^Penicillin|SV|Rash~C1^Hives|20200101
IAM|1|FA|NUT^Nut^L|MI|Swelling|A|AID1^HIS||||20190101|txt|20190202|Rao^Asha|SEL||C||||||||||N^Nut
DG1|1|I10|J45^Asthma^I10|Asthma|20260101|A|||||||||1|{DOCTOR}|||20260102030405|DX1^HIS|A|D0^HIS
DG1|2||J46^^I10||||||||||||||||||D
PR1|1||47.0^App^L|App|202601011000|D|30|{DOCTOR}|||{DOCTOR}|^Pr^C|||J45^Asthma^I10|M1~M2|||PX1^HIS
 |A|||W1^R1||PX0^HIS
IN1|1|PLAN^Gold^L|INS1^^^HOSP|Star^^9|3 Road^^Pune^^^^H|||||EMP1^^^X|ACME|20250101|20261231||PPO
 |Rao^Ravi|SPO|19790101|1 Road|||||||||||||||||POL9|||||||M||||||INSD9^^^HOSP||||||D
OBX|1|NM|HT^Height||170|cm|||||F
""".replace("\n ", "").splitlines()


@pytest.mark.parametrize("event", sorted(adt.EVENTS))
def test_full_message_of_every_event(event: str) -> None:
    message = parse("\r".join([HEADER.format(event), *SEGMENTS]))
    check(message)
    assert message.mapped


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_field_of_an_adt_may_hold_anything(data: st.DataObject) -> None:
    segments = list(SEGMENTS)
    for _ in range(data.draw(st.integers(1, 12))):
        row = data.draw(st.integers(0, len(segments) - 1))
        fields = segments[row].split("|")
        place = data.draw(st.integers(1, len(fields)))
        fields[place : place + 1] = [data.draw(st.sampled_from(WORDS) | st.text(max_size=20))]
        segments[row] = "|".join(fields)
    event = data.draw(st.sampled_from(["A01", "A02", "A08", "A28"]))
    check(parse("\r".join([HEADER.format(event), *segments])))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from([*SEGMENTS, "ZZZ|1", "PV1", "NK1", "PID", "IN1", "DG1"])))
def test_segments_of_an_adt_may_come_in_any_order(segments: list[str]) -> None:
    check(parse("\r".join([HEADER.format("A01"), *segments])))
