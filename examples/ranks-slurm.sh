#!/bin/bash
# Pre-training on four nodes, two ranks a node: `sbatch examples/ranks-slurm.sh`. docs/ranks.md explains the options.
#SBATCH --job-name=lxmert
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
# SIGTERM to the ranks five minutes before the end: they save, and the job is queued again.
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

# Without PMIx leave out --mpi=pmix: the ranks then meet on the first node, over sockets.
srun --mpi=pmix --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  npx lxmert pretrain --data "$DATA" --out "$RUN" --resume \
  --gradient-parts 8 --threads "$SLURM_CPUS_PER_TASK"
code=$?

# 143: SIGTERM ended the run, with a checkpoint.
if [[ $code == 143 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
