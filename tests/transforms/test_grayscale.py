"""The table against PS3.3 formulas written out by hand."""

import numpy as np
import pytest
from mammo.transforms.grayscale import grayscale_table
from pydicom.dataset import Dataset

X = np.arange(4096, dtype=np.float64)


def lut_item(data: list[int], first: int = 0, bits: int = 16) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(data), first, bits])
    item.add_new("LUTData", "US", data)
    return item


def test_without_voi_the_range_of_bits_stored_becomes_0_to_1(header: Dataset) -> None:
    table = grayscale_table(header).table
    np.testing.assert_array_equal(table[:4096], (X / 4095).astype(np.float32))


def test_values_beyond_bits_stored_saturate(header: Dataset) -> None:
    assert (grayscale_table(header).table[4096:] == 1).all()


def test_linear_window_follows_the_formula(header: Dataset) -> None:
    header.WindowCenter, header.WindowWidth = 2000, 1001
    expected = [0 if x <= 1999.5 - 500 else 1 if x > 1999.5 + 500 else (x - 1999.5) / 1000 + 0.5 for x in X]
    np.testing.assert_allclose(grayscale_table(header).table[:4096], expected, atol=1e-7)


def test_linear_window_of_width_one_is_a_threshold(header: Dataset) -> None:
    header.WindowCenter, header.WindowWidth = 100, 1
    np.testing.assert_array_equal(grayscale_table(header).table[:4096], X > 99.5)


def test_linear_exact_window_follows_the_formula(header: Dataset) -> None:
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 2000, 1000, "LINEAR_EXACT"
    expected = [0 if x <= 1500 else 1 if x > 2500 else (x - 2000) / 1000 + 0.5 for x in X]
    np.testing.assert_allclose(grayscale_table(header).table[:4096], expected, atol=1e-7)


def test_sigmoid_window_follows_the_formula(header: Dataset) -> None:
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 2000, 1000, "SIGMOID"
    expected = 1 / (1 + np.exp(-4 * (X - 2000) / 1000))
    np.testing.assert_allclose(grayscale_table(header).table[:4096], expected, atol=1e-7)


def test_each_of_several_windows_can_be_chosen(header: Dataset) -> None:
    header.WindowCenter, header.WindowWidth = [500, 3000], [101, 201]
    assert grayscale_table(header, 1).voi == "window:1"
    np.testing.assert_array_equal(grayscale_table(header, 1).table[[2899, 3100]], [0, 1])
    assert grayscale_table(header).voi == "window:0"


def test_voi_lut_comes_before_windows_and_ends_continue(header: Dataset) -> None:
    header.VOILUTSequence = [lut_item([0, 1000, 4095], first=10, bits=12)]
    header.WindowCenter, header.WindowWidth = 2048, 4096
    gray = grayscale_table(header)
    assert gray.voi == "lut:0"
    np.testing.assert_allclose(gray.table[[0, 10, 11, 12, 4095]], np.array([0, 0, 1000, 4095, 4095]) / 4095, atol=1e-7)
    assert grayscale_table(header, 1).voi == "window:0"


def test_voi_none_ignores_the_window(header: Dataset) -> None:
    header.WindowCenter, header.WindowWidth = 2000, 10
    np.testing.assert_array_equal(grayscale_table(header, "none").table[:4096], (X / 4095).astype(np.float32))


def test_window_applies_after_the_rescale(header: Dataset) -> None:
    header.RescaleSlope, header.RescaleIntercept = 2, -100
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 0, 200, "LINEAR_EXACT"
    np.testing.assert_allclose(grayscale_table(header).table[[0, 50, 75]], [0, 0.5, 0.75], atol=1e-7)


def test_modality_lut_replaces_the_rescale(header: Dataset) -> None:
    header.ModalityLUTSequence = [lut_item(list(range(4095, -1, -1)), bits=12)]
    np.testing.assert_allclose(grayscale_table(header).table[:4096], 1 - X / 4095, atol=1e-7)


def test_monochrome1_equals_its_twin_to_the_last_bit(header: Dataset) -> None:
    header.WindowCenter, header.WindowWidth = 2048, 4096
    upright = grayscale_table(header).table[:4096]
    header.PhotometricInterpretation, header.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    np.testing.assert_array_equal(grayscale_table(header).table[:4096][::-1], upright)


def test_polarity_is_turned_after_the_window(header: Dataset) -> None:
    header.PhotometricInterpretation = "MONOCHROME1"
    header.WindowCenter, header.WindowWidth = 1000, 101
    np.testing.assert_array_equal(grayscale_table(header).table[[0, 1100, 4095]], [1, 0, 0])


def test_padding_range_is_air_after_polarity(header: Dataset) -> None:
    header.PhotometricInterpretation = "MONOCHROME1"
    header.add_new("PixelPaddingValue", "US", 0)
    header.add_new("PixelPaddingRangeLimit", "US", 9)
    table = grayscale_table(header).table
    assert (table[:10] == 0).all()
    assert table[10] > 0.99


def test_signed_values_use_their_whole_range(header: Dataset) -> None:
    header.PixelRepresentation = 1
    table = grayscale_table(header).table
    patterns = np.array([-2048, 0, 2047], dtype=np.int16).view(np.uint16)
    np.testing.assert_allclose(table[patterns], [0, 2048 / 4095, 1], atol=1e-7)


def test_signed_values_without_sign_extension_are_extended(header: Dataset) -> None:
    header.PixelRepresentation = 1
    assert grayscale_table(header).table[0xFFF] == grayscale_table(header).table[0xFFFF]  # -1 in 12 bits


def test_negative_signed_padding_is_air(header: Dataset) -> None:
    header.PixelRepresentation, header.PhotometricInterpretation = 1, "MONOCHROME1"
    header.add_new("PixelPaddingValue", "SS", -2048)
    assert grayscale_table(header).table[np.int16(-2048).view(np.uint16)] == 0


def test_raw_exposure_becomes_attenuation(header: Dataset) -> None:
    header.PresentationIntentType, header.PixelIntensityRelationship = "FOR PROCESSING", "LIN"
    header.PixelIntensityRelationshipSign = 1
    table = grayscale_table(header).table[:4096]
    np.testing.assert_allclose(table, 1 - np.log1p(X) / np.log(4096), atol=1e-7)


def test_raw_sign_decides_over_photometric_interpretation(header: Dataset) -> None:
    header.PresentationIntentType, header.PhotometricInterpretation = "FOR PROCESSING", "MONOCHROME1"
    header.PixelIntensityRelationshipSign = -1
    np.testing.assert_array_equal(grayscale_table(header).table[:4096], (X / 4095).astype(np.float32))


@pytest.mark.parametrize(("function", "width"), [("LINEAR", 0.5), ("SIGMOID", 0), ("LINEAR_EXACT", -3), ("LINEAR", 0)])
def test_forbidden_window_widths_are_refused(header: Dataset, function: str, width: float) -> None:
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 10, width, function
    with pytest.raises(ValueError, match=r"not allowed for VOI LUT Function .*voi='none'"):
        grayscale_table(header)


def test_absent_alternative_is_refused(header: Dataset) -> None:
    with pytest.raises(ValueError, match="holds 0 VOI alternatives"):
        grayscale_table(header, 0)


def test_unknown_voi_function_is_refused(header: Dataset) -> None:
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = 10, 10, "CUBIC"
    with pytest.raises(ValueError, match="expected LINEAR, LINEAR_EXACT or SIGMOID"):
        grayscale_table(header)
