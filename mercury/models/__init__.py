"""Models: trained on features as known then, registered with MLflow, served with provenance.

fitted = fit(project.get(Model, "delay_risk"), settings)       examples → training set → LightGBM → champion
predictors(project, settings)["delay_risk"].predict(keys)      the online features, the champion's answer
"""

from mercury.models.encoding import Column, Encoding
from mercury.models.fitting import Fitted, entity_keys, examples, feature_names, fit
from mercury.models.prediction import FeatureLookup, FeatureRow, Prediction, Predictor
from mercury.models.registry import CHALLENGER, CHAMPION, ModelRegistry, ModelVersion
from mercury.models.serving import predictors, require_champions
from mercury.models.training import Trained, quality, train

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "Column",
    "Encoding",
    "FeatureLookup",
    "FeatureRow",
    "Fitted",
    "ModelRegistry",
    "ModelVersion",
    "Prediction",
    "Predictor",
    "Trained",
    "entity_keys",
    "examples",
    "feature_names",
    "fit",
    "predictors",
    "quality",
    "require_champions",
    "train",
]
