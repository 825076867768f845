"""What a service counts."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.classifiers import expected, picture
from tests.synaug_core.serving.running import CLASSES, NAME, Champion, Start, files


def test_metrics_are_what_prometheus_reads(start: Start, champion: Champion, saved: dict[int, Path]) -> None:
    champion("1")
    client, _ = start()
    client.post("/predict", files=files(picture(1), picture(2)))
    client.post("/predict", files=files(b"text"))
    client.get("/whatever/" + "x" * 50)
    found = {}
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    assert found["synaug_requests_total", (("path", "/predict"), ("status", "200"))] == 1
    assert found["synaug_requests_total", (("path", "/predict"), ("status", "422"))] == 1
    assert found["synaug_requests_total", (("path", "other"), ("status", "404"))] == 1
    assert found["synaug_images_total", ()] == 2
    assert found["synaug_errors_total", ()] == 2
    assert found["synaug_request_seconds_count", ()] == 2
    assert found["synaug_request_seconds_bucket", (("le", "+Inf"),)] == 2
    assert found["synaug_request_seconds_sum", ()] > 0
    assert found["synaug_model_info", (("alias", "champion"), ("name", NAME), ("version", "1"))] == 1
    best = [CLASSES[i] for i in expected(saved[1], picture(1), picture(2)).argmax(axis=1)]
    assert found["synaug_model_ready", ()] == 1
    assert found["synaug_kept_total", ()] == 0
    assert not any(name.startswith("python_") or name.endswith("_created") for name, _ in found)
    assert sum(found["synaug_predicted_total", (("class", name),)] for name in set(best)) == 2


def test_each_service_counts_for_itself(start: Start, champion: Champion) -> None:
    champion("1")
    first, second = start()[0], start()[0]
    first.post("/predict", files=files(picture(1)))
    assert "synaug_images_total 1.0\n" in first.get("/metrics").text
    assert "synaug_images_total 0.0\n" in second.get("/metrics").text
