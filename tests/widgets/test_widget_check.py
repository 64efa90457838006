from sftkit.widgets import WidgetCheck, label


def test_it_answers_the_page_and_leaves_advice_where_there_is_none():
    check, sent = WidgetCheck(), []
    check.send = sent.append
    assert not check.answered and "anywidget" in repr(check)
    check._handle_custom_msg({"kind": "are you there"}, [])
    assert check.answered and sent == [{"kind": "yes"}]
    assert WidgetCheck("zh")._labels["check.works"] == label("check.works", "zh")
