#!/bin/bash
# Pre-trains on four nodes with two ranks on each node: `sbatch examples/ranks-slurm.sh`. docs/ranks.md explains the options.
#SBATCH --job-name=lxmert
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=2
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
# Five minutes before the time limit, Slurm sends SIGTERM to the ranks. They save, and the job is queued again.
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

# Without PMIx, leave out --mpi=pmix. The ranks then connect over sockets to the first node.
srun --mpi=pmix --cpus-per-task="$SLURM_CPUS_PER_TASK" \
  npx lxmert pretrain --data "$DATA" --out "$RUN" --resume \
  --gradient-parts 8 --threads "$SLURM_CPUS_PER_TASK"
code=$?

# The exit code 143 means that SIGTERM ended the run, with a checkpoint.
if [[ $code == 143 ]]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
