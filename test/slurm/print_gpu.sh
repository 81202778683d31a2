#!/usr/bin/env bash
# Stands for the program: says which GPU a rank was given.
echo "rank $SLURM_PROCID of $SLURM_NTASKS on $(hostname) with $(nproc) cores gpu ${CUDA_VISIBLE_DEVICES:-none}"
