"""The configurations: of every task, the published recurrences at their larger width."""

from __future__ import annotations

from benchmarks.full_steps.steps import Published

PUBLISHED = (
    Published("PathTracker, no_gate", "sweep_15dist", "no_gate_k11_e64", 128),
    Published("PathTracker, gated", "sweep_15dist", "gated_k11_e64", 64),
    Published("PathTracker, gdn", "sweep_15dist", "gdn_log_e64_qkv5_dk2", 32),
    Published("Pathfinder, no_gate", "sweep_pathfinder", "no_gate_k11_e64", 128),
    Published("Pathfinder, gated", "sweep_pathfinder", "gated_k11_e64", 64),
    Published("Pathfinder, gdn", "sweep_pathfinder", "gdn_log_e64_qkv5_dk2", 32),
    Published("SHViT-S1, gated", "sweep_imagenet_edge", "cssm_shvit_s1_gated_k5_t8", 64),
    Published("SHViT-S1, gdn", "learned_t_imagenet_30ep", "cssm_shvit_s1_gdn_learned_t_30ep", 64),
)
