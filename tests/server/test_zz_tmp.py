def test_x(empty_hapi): assert 0
