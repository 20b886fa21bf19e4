"""What two executions of a study must share, name to value as text, from its folders, Optuna and MLflow."""

import hashlib
import json
from collections import defaultdict
from pathlib import Path

from difair_hpc.drill.outcome import Facts
from difair_hpc.files import read_json
from difair_hpc.runs import spool
from difair_hpc.sweep.ledger import ledger
from difair_hpc.sweep.storage import open_storage

_OF_TIME = ("seconds",)
"""Metrics that say how long something took."""


def folder_facts(root: Path, study: str) -> Facts:
    """Return weights, model, evaluation and each epoch of every run, and what each stage of the study chose."""
    facts: dict[str, str] = {}
    for path in sorted((root / "runs").glob("*/spec.json")):
        folder, name = path.parent, f"run {path.parent.name}"
        result = read_json(folder / "result.json") or {}
        for key in ("outcome", "epochs", "weights_sha256", "data_fingerprint", "evaluation"):
            facts[f"{name}: {key}"] = json.dumps(result.get(key))
        model = folder / "model.pt"
        facts[f"{name}: model.pt"] = hashlib.sha256(model.read_bytes()).hexdigest() if model.exists() else "absent"
        for epoch, point in spool.read(folder).items():
            facts[f"{name}: epoch {epoch:06d}"] = json.dumps(point["metrics"])
    for stage in (ledger(root, study).description() or {"stages": []})["stages"]:
        facts[f"stage {stage['name']}: chosen"] = json.dumps(stage["chosen"])
        for trial in stage["trials"]:
            facts[f"stage {stage['name']}: trial {trial['number']:06d}"] = json.dumps(trial)
    return facts


def trial_facts(root: Path, study: str, url: str) -> Facts:
    """Return every trial that Optuna has: number, state, parameters, values; `url`: a database, else the journal."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(url or ledger(root, study).path / "optuna.journal")
    facts: dict[str, str] = {}
    for name in optuna.get_all_study_names(storage):
        for trial in optuna.load_study(study_name=name, storage=storage).trials:
            content = [trial.state.name, trial.params, trial.values]
            facts[f"Optuna {name.rpartition('/')[2]}: trial {trial.number:06d}"] = json.dumps(content)
    return facts


def point_facts(uri: str, study: str) -> Facts:
    """Return the status of every MLflow run and each point of it; a point that is there twice shows two values."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(study)
    facts: dict[str, str] = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000) if experiment else ():
        tags = run.data.tags
        name = f"MLflow {tags.get('difair.stage', 'parent')}/{tags.get('difair.signature', tags['mlflow.runName'])}"
        facts[f"{name}: status"] = f"{facts.get(f'{name}: status', '')} {run.info.status}".strip()
        values: dict[str, list[str]] = defaultdict(list)
        for key in run.data.metrics.keys() - set(_OF_TIME):
            for point in client.get_metric_history(run.info.run_id, key):
                values[f"{name}: {key}, epoch {point.step:06d}"].append(repr(point.value))
        facts |= {key: " and ".join(found) for key, found in values.items()}
    return facts
