# SPDX-License-Identifier: Apache-2.0
"""The other programs of scripts/: merging reviews, preparing data, review queues, tables and audits' pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from bad_input.dataset_json import text
from bad_input.nifti import put, raw
from bad_input.row import Row, nothing
from bad_input.worlds import AFFINE, volume

MERGE = "merge_reviewed --corrections {w}/final --dataset_dir {w}/data --output_dir {w}/out"
REVIEW = "merge_reviewed --studies {w}/studies --dataset_dir {w}/data --output_dir {w}/out"
QUEUE = "monai_label/prepare_review --run_dir {w}/run --dataset_dir {w}/data --output_dir {w}/out"
DRAW = "monai_label/draw_queue --studies {w}/studies --output_file {w}/queue.png"
PHANTOM = "make_phantom --output_dir {w}/out"
FIRST = "final/a.nii.gz"


def final(spoil: Callable[[Path], object] = nothing) -> Callable[[Path], object]:
    """final/ holds a correction of case a, which is then spoilt."""

    def make(world: Path) -> None:
        (world / "final").mkdir()
        values = np.zeros_like(volume(0)[1])
        nib.save(nib.Nifti1Image(values, AFFINE), world / FIRST)
        spoil(world)

    return make


def studies(datastore: str | None, *names: str) -> Callable[[Path], object]:
    """studies/ of a review with these final labels, and what the server recorded."""

    def make(world: Path) -> None:
        (world / "studies/labels/final").mkdir(parents=True)
        for name in names:
            nib.save(nib.Nifti1Image(volume(0)[1], AFFINE), world / "studies/labels/final" / name)
        if datastore is not None:
            (world / "studies/datastore_v2.json").write_text(datastore)

    return make


def run(provenance: str, record: str | None = '{"settings": {"class_names": ["ring", "core"]}}') -> Callable:
    """run/ of a training that repaired labels."""

    def make(world: Path) -> None:
        (world / "run/repaired_labels").mkdir(parents=True)
        (world / "run/repaired_labels/provenance.csv").write_text(provenance)
        if record is not None:
            (world / "run/run.json").write_text(record)

    return make


def unfinished_audit(world: Path) -> None:
    """audit/ with plan and findings of nothing."""
    (world / "audit").mkdir()
    for name in ("plan.json", "labels.json"):
        (world / "audit" / name).write_text("{}")


PROV = "sample,case,slice,class,verdict,clean_posterior,manual_loss\n{c}/0,{c},0,ring,manual,0.9,0.1\n"

ROWS = [
    Row(
        "merge: no source",
        nothing,
        MERGE.replace("--corrections {w}/final ", ""),
        "merge_reviewed.py: error: pass --studies, --corrections or both",
    ),
    Row(
        "merge: no folder",
        nothing,
        MERGE,
        "merge_reviewed.py: corrections {w}/final is no folder; give the one that holds the corrected labels",
    ),
    Row(
        "merge: empty folder",
        lambda w: (w / "final").mkdir(),
        MERGE,
        "merge_reviewed.py: corrections {w}/final holds no label file (~); check the path",
    ),
    Row(
        "merge: no data",
        final(),
        MERGE.replace("{w}/data", "{w}/nowhere"),
        "merge_reviewed.py: data folder {w}/nowhere does not exist; run `python scripts/make_phantom.py "
        "--output_dir {w}/nowhere` or pass --dataset_dir with your own data",
    ),
    Row(
        "merge: taken folder",
        final(lambda w: (w / "out/x").mkdir(parents=True)),
        MERGE,
        "merge_reviewed.py: output_dir {w}/out exists and is not empty; give a new folder, or remove this one",
    ),
    Row(
        "merge: folder in the data",
        final(),
        MERGE.replace("{w}/out", "{w}/data/out"),
        "merge_reviewed.py: output_dir {w}/data/out lies in the data {w}/data, which are not touched; "
        "give another folder",
    ),
    Row(
        "merge: file for a folder",
        final(text("out", "x")),
        MERGE,
        "merge_reviewed.py: output_dir {w}/out exists and is not empty; give a new folder, or remove this one",
    ),
    Row(
        "merge: correction of nobody",
        final(lambda w: (w / FIRST).rename(w / "final/z.nii.gz")),
        MERGE,
        "merge_reviewed.py: correction {w}/final/z.nii.gz is named after no case of the data; name it "
        "after its case, as in a.nii.gz",
    ),
    Row(
        "merge: two corrections of one case",
        final(lambda w: (w / "final/a.nii").write_bytes(b"")),
        MERGE,
        "merge_reviewed.py: {w}/final/a.nii and {w}/final/a.nii.gz correct one case; keep one of them",
    ),
    Row(
        "merge: correction cut short",
        final(raw(FIRST, lambda b: b[:-30], True)),
        MERGE,
        "merge_reviewed.py: {w}/final/a.nii.gz cannot be read: the file is damaged, incomplete or not in "
        "the format of its extension (~); copy it again from its source or take it out of the data set",
    ),
    Row(
        "merge: correction of no bytes",
        final(text(FIRST, b"")),
        MERGE,
        "merge_reviewed.py: {w}/final/a.nii.gz cannot be read: the file is damaged, incomplete or not in "
        "the format of its extension (~); copy it again from its source or take it out of the data set",
    ),
    Row(
        "merge: correction below zero",
        final(put(FIRST, (1, 1, 1), -3)),
        MERGE,
        "merge_reviewed.py: label {w}/final/a.nii.gz holds the value -3, outside the declared classes (0 "
        'background, 1 ring, 2 core); declare them under "labels" in dataset.json, or set those pixels '
        "to 0 in the file",
    ),
    Row(
        "merge: correction of a fraction",
        final(put(FIRST, (1, 1, 1), 0.5)),
        MERGE,
        "merge_reviewed.py: label {w}/final/a.nii.gz holds the value 0.5, outside the declared classes "
        '(0 background, 1 ring, 2 core); declare them under "labels" in dataset.json, or set those '
        "pixels to 0 in the file",
    ),
    Row(
        "merge: correction of an unknown class",
        final(put(FIRST, (1, 1, 1), 3)),
        MERGE,
        "merge_reviewed.py: label {w}/final/a.nii.gz holds the value 3, outside the declared classes (0 "
        'background, 1 ring, 2 core); declare them under "labels" in dataset.json, or set those pixels '
        "to 0 in the file",
    ),
    Row(
        "merge: correction of NaN",
        final(put(FIRST, (1, 1, 1), np.nan)),
        MERGE,
        "merge_reviewed.py: label {w}/final/a.nii.gz holds the value nan, outside the declared classes "
        '(0 background, 1 ring, 2 core); declare them under "labels" in dataset.json, or set those '
        "pixels to 0 in the file",
    ),
    Row(
        "merge: smaller correction",
        final(lambda w: nib.save(nib.Nifti1Image(np.zeros((30, 32, 2), np.uint8), AFFINE), w / FIRST)),
        MERGE,
        "merge_reviewed.py: image {w}/data/images/a.nii.gz has shape 32x32x2 but its label "
        "{w}/final/a.nii.gz has shape 30x32x2; give a label drawn on this image",
    ),
    Row(
        "merge: correction on another grid",
        final(lambda w: nib.save(nib.Nifti1Image(np.zeros((32, 32, 2), np.uint8), np.eye(4)), w / FIRST)),
        MERGE,
        "merge_reviewed.py: image {w}/data/images/a.nii.gz and its label {w}/final/a.nii.gz have "
        "different affines (corners up to ~ apart, voxel size 1.5); resample the label onto the image or "
        "copy the image's header into it",
    ),
    Row(
        "merge: correction of five masks",
        final(lambda w: nib.save(nib.Nifti1Image(np.zeros((32, 32, 2, 5), np.uint8), AFFINE), w / FIRST)),
        MERGE,
        "merge_reviewed.py: label {w}/final/a.nii.gz has 5 channels, but 2 classes are declared (1 ring, "
        "2 core); a label must be one integer map, or one binary mask per declared class",
    ),
    Row(
        "merge: unknown rule",
        final(),
        MERGE + " --overlaps maybe",
        "merge_reviewed.py: error: argument --overlaps: invalid choice: 'maybe' (~)",
    ),
    Row(
        "merge: fewer names than classes",
        final(),
        MERGE + " --label_names ring",
        "merge_reviewed.py: label {w}/data/labels/a.nii.gz holds the value 2, outside the declared "
        'classes (0 background, 1 ring); declare them under "labels" in dataset.json, or set those '
        "pixels to 0 in the file",
    ),
    Row(
        "merge: provenance with a word for a number",
        final(
            text(
                "data/provenance.csv",
                "case,label,source,correction,client_info,reviewed_at,changed_voxels,changed_slices,given_sha256,correction_sha256,label_sha256\na,b,c,d,e,f,many,g,h,i,j\n",
            )
        ),
        MERGE,
        "merge_reviewed.py: {w}/data/provenance.csv is damaged (invalid literal for int() with base 10: "
        "'many'); restore the file",
    ),
    Row(
        "merge: given label of no bytes",
        final(text("data/labels/a.nii.gz", b"")),
        MERGE,
        "merge_reviewed.py: {w}/data/labels/a.nii.gz cannot be read: the file is damaged, incomplete or "
        "not in the format of its extension (~); copy it again from its source or take it out of the "
        "data set",
    ),
    Row(
        "merge: one label for two cases",
        final(
            lambda w: text("data/dataset.json", (w / "data/dataset.json").read_text().replace("labels/b", "labels/a"))(
                w
            )
        ),
        MERGE,
        "merge_reviewed.py: cases a and b share the label {w}/data/labels/a.nii.gz, so one cannot be "
        "corrected without the other; give each its own file",
    ),
    Row(
        "review: no folder",
        nothing,
        REVIEW,
        "merge_reviewed.py: studies {w}/studies is no folder; give the one that prepare_review.py made",
    ),
    Row(
        "review: nothing reviewed",
        studies(None),
        REVIEW,
        "merge_reviewed.py: studies {w}/studies hold no label tagged final; review a case first (Submit Label)",
    ),
    Row(
        "review: record cut short",
        studies("{", "a.nii.gz"),
        REVIEW,
        "merge_reviewed.py: {w}/studies/datastore_v2.json is not valid JSON (line 1: ~); correct that line",
    ),
    Row(
        "review: record of a list",
        studies('{"objects": []}', "a.nii.gz"),
        REVIEW,
        "merge_reviewed.py: {w}/studies/datastore_v2.json is no record of MONAI Label (~); restore it, or remove it",
    ),
    Row(
        "review: label gone",
        studies('{"objects": {"b": {"labels": {"final": {"info": {}}}}}}', "a.nii.gz"),
        REVIEW,
        "merge_reviewed.py: {w}/studies/datastore_v2.json records a final label of b, but "
        "{w}/studies/labels/final holds none; restore that file",
    ),
    Row(
        "review: two labels of one case",
        studies(None, "a.nii.gz", "a.nii"),
        REVIEW,
        "merge_reviewed.py: {w}/studies/labels/final/a.nii and {w}/studies/labels/final/a.nii.gz correct "
        "one case; keep one of them",
    ),
    Row(
        "review: year beyond all calendars",
        studies('{"objects": {"a": {"labels": {"final": {"info": {"ts": 1e30}}}}}}', "a.nii.gz"),
        REVIEW,
        "merge_reviewed.py: {w}/studies/datastore_v2.json is no record of MONAI Label (~); restore it, or remove it",
    ),
    Row(
        "queue: no run",
        nothing,
        QUEUE,
        "prepare_review.py: run {w}/run has no run.json; name the folder of a finished run or of an audit",
    ),
    Row(
        "queue: no record",
        run(PROV.replace("{c}", "a"), None),
        QUEUE,
        "prepare_review.py: run {w}/run has no run.json; name the folder of a finished run or of an audit",
    ),
    Row(
        "queue: record cut short",
        run(PROV.replace("{c}", "a"), "{"),
        QUEUE,
        "prepare_review.py: {w}/run/run.json names no classes (~); make it again, or restore the file",
    ),
    Row(
        "queue: record of a list",
        run(PROV.replace("{c}", "a"), "[]"),
        QUEUE,
        "prepare_review.py: {w}/run/run.json names no classes (~); make it again, or restore the file",
    ),
    Row(
        "queue: provenance of no bytes",
        run(""),
        QUEUE,
        "prepare_review.py: {w}/run/repaired_labels/provenance.csv has no row; make it again, or restore the file",
    ),
    Row(
        "queue: provenance of no row",
        run(PROV.split("\n")[0] + "\n"),
        QUEUE,
        "prepare_review.py: {w}/run/repaired_labels/provenance.csv has no row; make it again, or restore the file",
    ),
    Row(
        "queue: provenance without its columns",
        run("case\na\n"),
        QUEUE,
        "prepare_review.py: {w}/run/repaired_labels/provenance.csv is damaged (~); make it again, or restore the file",
    ),
    Row(
        "queue: word for a probability",
        run(PROV.replace("{c}", "a").replace("0.9", "high")),
        QUEUE,
        "prepare_review.py: {w}/run/repaired_labels/provenance.csv is damaged (could not convert string "
        "to float: 'high'); make it again, or restore the file",
    ),
    Row(
        "queue: NaN for a probability",
        run(PROV.replace("{c}", "a").replace("0.9", "nan")),
        QUEUE,
        "prepare_review.py: {w}/run/repaired_labels/provenance.csv is damaged (clean_posterior must be "
        "in [0, 1], got nan); make it again, or restore the file",
    ),
    Row(
        "queue: provenance of garbage",
        run("\0\0\xff"),
        QUEUE,
        "prepare_review.py: {w}/run/repaired_labels/provenance.csv ~; make it again, or restore the file",
    ),
    Row(
        "queue: run of other data",
        run(PROV.replace("{c}", "z")),
        QUEUE,
        "prepare_review.py: case z of run {w}/run is not in {w}/data (1 such cases); pass --dataset_dir "
        "with the data it is about",
    ),
    Row(
        "queue: no proposed label",
        run(PROV.replace("{c}", "a")),
        QUEUE,
        "prepare_review.py: {w}/run/repaired_labels/labels/a.nii.gz does not exist; the run did not "
        "finish, or its folder is incomplete: make it again",
    ),
    Row(
        "picture of a queue: no studies",
        nothing,
        DRAW,
        "draw_queue.py: {w}/studies/datastore_v2.json does not exist; start the review server with these studies once",
    ),
    Row(
        "picture of a queue: record of nothing",
        studies("{}"),
        DRAW,
        "draw_queue.py: {w}/studies/datastore_v2.json is no record of MONAI Label (~); restore it, or "
        "start the review server once more",
    ),
    Row(
        "picture of a queue: nobody waits",
        studies('{"objects": {}}'),
        DRAW,
        "draw_queue.py: no case of {w}/studies/datastore_v2.json waits for a review; all have a final "
        "label, or it is not of a review",
    ),
    Row(
        "picture of a queue: number for a case",
        studies('{"objects": {"a": 3}}'),
        DRAW,
        "draw_queue.py: {w}/studies/datastore_v2.json is no record of MONAI Label (~); restore it, or "
        "start the review server once more",
    ),
    Row(
        "picture of a queue: no image",
        studies(
            '{"objects": {"a": {"image": {"info": {"review": {"trust": 0.1, "changed_voxels": 3, "look_at": 0, '
            '"doubtful": 1, "entries": 2}}}, "labels": {}}}}'
        ),
        DRAW,
        "draw_queue.py: {w}/studies holds no image of case a; restore it, or prepare the review again",
    ),
    Row(
        "picture of a queue: of nobody",
        studies('{"objects": {}}'),
        DRAW + " --count 0",
        "draw_queue.py: error: --count must be at least 1, got 0",
    ),
    Row(
        "phantom: no patient",
        nothing,
        PHANTOM + " --patients 0",
        "make_phantom.py: the number of patients must be in 1..80, got 0",
    ),
    Row(
        "phantom: too many patients",
        nothing,
        PHANTOM + " --patients 81",
        "make_phantom.py: the number of patients must be in 1..80, got 81",
    ),
    Row(
        "phantom: word for a number",
        nothing,
        PHANTOM + " --patients x",
        "make_phantom.py: error: argument --patients: invalid int value: 'x'",
    ),
    Row(
        "phantom: taken folder",
        nothing,
        PHANTOM.replace("{w}/out", "{w}/data"),
        "make_phantom.py: output_dir {w}/data exists and is not empty; give a new folder, or remove this one",
    ),
    Row(
        "prepare: no source",
        nothing,
        "prepare_data chest_xray --source {w}/nowhere --output_dir {w}/out",
        "prepare_data.py: source {w}/nowhere is no folder; give the data set as downloaded, see docs/data_sets.md",
    ),
    Row(
        "prepare: other data for chest X-rays",
        nothing,
        "prepare_data chest_xray --source {w}/data --output_dir {w}/out",
        "prepare_data.py: {w}/data/train must hold images/ and masks/ with the same names (*.jpg), got 0 "
        "and 0 files, partners of 0 missing; download it again",
    ),
    Row(
        "prepare: other data for crowd labels",
        nothing,
        "prepare_data crowd_labels --source {w}/data --output_dir {w}/out",
        "prepare_data.py: {w}/data holds no ds*/*/image.png; give the folder that holds ds1, ds2 and ds3",
    ),
    Row(
        "prepare: liver slices without an index",
        nothing,
        "prepare_data liver_ct_slices --source {w}/data --output_dir {w}/out",
        "prepare_data.py: {w}/data/index.csv does not exist; download the data set again",
    ),
    Row(
        "prepare: index without its columns",
        text("data/index.csv", "a,b\n1,2\n"),
        "prepare_data liver_ct_slices --source {w}/data --output_dir {w}/out",
        "prepare_data.py: {w}/data/index.csv must list slices under the columns id and patient, got "
        "[{'a': '1', 'b': '2'}]; download it again",
    ),
    Row(
        "prepare: index that leads out of the folder",
        text("data/index.csv", "id,patient\n../../x,2\n"),
        "prepare_data liver_ct_slices --source {w}/data --output_dir {w}/out",
        "prepare_data.py: {w}/data/index.csv must name files of its own folders, got the id '../../x'; "
        "download it again",
    ),
    Row(
        "prepare: unknown data set",
        nothing,
        "prepare_data hearts --source {w}/data --output_dir {w}/out",
        "prepare_data.py: error: argument data_set: invalid choice: 'hearts' (~)",
    ),
    Row(
        "tables: nothing to tabulate",
        nothing,
        "tabulate_results --output_dir {w}/out",
        "~{w}/out/accuracy.csv does not exist or is empty; give finished cells with --grid_dir",
    ),
    Row(
        "scores: no audit",
        nothing,
        "compare_audit --audit {w}/nowhere --dataset_dir {w}/data --name x --output {w}/out.json",
        "compare_audit.py: {w}/nowhere/plan.json does not exist; check the path",
    ),
    Row(
        "scores: audit of nothing",
        unfinished_audit,
        "compare_audit --audit {w}/audit --dataset_dir {w}/data --name x --output {w}/out.json",
        "compare_audit.py: {w}/audit is no finished audit (its plan or findings lack ~); name the folder of one",
    ),
    Row(
        "picture of labels: no audit",
        nothing,
        "draw_least_trusted --audit {w}/nowhere --dataset_dir {w}/data --output {w}/out.png",
        "draw_least_trusted.py: {w}/nowhere/plan.json does not exist; check the path",
    ),
    Row(
        "picture of labels: word for a number",
        nothing,
        "draw_least_trusted --audit {w}/nowhere --dataset_dir {w}/data --output {w}/out.png --count x",
        "draw_least_trusted.py: error: argument --count: invalid int value: 'x'",
    ),
]
