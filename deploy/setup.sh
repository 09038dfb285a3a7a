#!/usr/bin/env bash
# Makes what the project needs in a Google Cloud project: APIs, service agent, bucket, dataset, image
# repository, a service account with the roles that it uses and no others, and the link to the
# Kubernetes account of the chart.
#
#   deploy/setup.sh PROJECT BUCKET [REGION [BIGQUERY_LOCATION]]
#
# Running it again changes nothing. It creates no key: pods use Workload Identity. NODE_ACCOUNT is the
# account of the cluster's nodes, which pull the image; default that of Compute Engine.
set -euo pipefail

if [[ $# -lt 2 || $# -gt 4 ]]; then
  sed -n '2,9p' "$0" >&2
  exit 2
fi

project=$1
bucket=$2
region=${3:-us-central1}
bigquery_location=${4:-US}
dataset=${GENAIOPS_DATASET:-genaiops}
namespace=${NAMESPACE:-dagster}
account=genaiops
repository=genaiops
email="${account}@${project}.iam.gserviceaccount.com"
member="serviceAccount:${email}"
root=$(cd "$(dirname "$0")/.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/pyproject.toml" | head -n 1)
image="${region}-docker.pkg.dev/${project}/${repository}/genaiops-dagster:${version}"

say() { printf '\n== %s\n' "$1"; }

say "APIs"
# cloudresourcemanager answers what the account may do, which `genaiops doctor` asks.
gcloud services enable --project "$project" \
  aiplatform.googleapis.com artifactregistry.googleapis.com bigquery.googleapis.com \
  cloudresourcemanager.googleapis.com iamcredentials.googleapis.com storage.googleapis.com

say "Service agent of Vertex AI"
# Else it is made by the first job, which fails meanwhile.
# https://cloud.google.com/vertex-ai/docs/general/access-control#service-agents
gcloud beta services identity create --project "$project" \
  --service aiplatform.googleapis.com >/dev/null

say "Bucket gs://${bucket}"
if ! gcloud storage buckets describe "gs://${bucket}" --project "$project" >/dev/null 2>&1; then
  gcloud storage buckets create "gs://${bucket}" --project "$project" --location "$region" \
    --uniform-bucket-level-access --public-access-prevention
fi

say "Dataset ${project}:${dataset}"
if ! bq --project_id "$project" show --dataset "${project}:${dataset}" >/dev/null 2>&1; then
  bq --project_id "$project" --location "$bigquery_location" mk --dataset "${project}:${dataset}"
fi

say "Image repository ${repository}"
if ! gcloud artifacts repositories describe "$repository" --project "$project" \
  --location "$region" >/dev/null 2>&1; then
  gcloud artifacts repositories create "$repository" --project "$project" \
    --location "$region" --repository-format docker
fi

say "Service account ${account}"
if ! gcloud iam service-accounts describe "$email" --project "$project" >/dev/null 2>&1; then
  gcloud iam service-accounts create "$account" --project "$project" \
    --display-name "genaiops_dagster"
fi

say "Roles"
# On the bucket alone: objects; and the bucket's metadata, which Google's clients and Dagster's compute
# logs read before the first object.
for role in roles/storage.objectUser roles/storage.legacyBucketReader; do
  gcloud storage buckets add-iam-policy-binding "gs://${bucket}" \
    --member "$member" --role "$role" >/dev/null
done
# On the dataset alone: tables and their rows.
bq --project_id "$project" query --quiet --nouse_legacy_sql \
  "GRANT \`roles/bigquery.dataEditor\` ON SCHEMA \`${project}\`.${dataset} TO '${member}'" \
  >/dev/null
# On the project, because there is nothing smaller: running queries, and Vertex AI's jobs and models.
for role in roles/bigquery.jobUser roles/aiplatform.user; do
  gcloud projects add-iam-policy-binding "$project" \
    --member "$member" --role "$role" --condition None >/dev/null
done
# Vertex AI Pipelines start their steps as this account; the account that submits must be allowed to.
gcloud iam service-accounts add-iam-policy-binding "$email" --project "$project" \
  --member "$member" --role roles/iam.serviceAccountUser >/dev/null
# Workload Identity: the chart's Kubernetes account acts as this account.
gcloud iam service-accounts add-iam-policy-binding "$email" --project "$project" \
  --member "serviceAccount:${project}.svc.id.goog[${namespace}/${account}]" \
  --role roles/iam.workloadIdentityUser >/dev/null
# The nodes pull the image. Steps of pipelines are pulled by an agent whose own role allows it.
# https://cloud.google.com/artifact-registry/docs/integrate-gke
number=$(gcloud projects describe "$project" --format 'value(projectNumber)')
gcloud artifacts repositories add-iam-policy-binding "$repository" --project "$project" \
  --location "$region" --role roles/artifactregistry.reader \
  --member "serviceAccount:${NODE_ACCOUNT:-${number}-compute@developer.gserviceaccount.com}" \
  >/dev/null

say "Done; to build the image, and to install with the values of this project:"
cat <<COMMANDS
gcloud auth configure-docker ${region}-docker.pkg.dev
docker build -f deploy/Dockerfile -t ${image} . && docker push ${image}
sed -e 's|@PROJECT@|${project}|g; s|@REGION@|${region}|g; s|@BUCKET@|${bucket}|g' \\
  -e 's|@DATASET@|${dataset}|g; s|@BIGQUERY_LOCATION@|${bigquery_location}|g' \\
  -e 's|@VERSION@|${version}|g' deploy/values.yaml > values.${project}.yaml
helm repo add dagster https://dagster-io.github.io/helm
helm upgrade --install dagster dagster/dagster --namespace ${namespace} --create-namespace \\
  -f values.${project}.yaml
COMMANDS
