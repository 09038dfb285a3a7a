#!/usr/bin/env bash
# Makes what the project needs in a Google Cloud project: APIs, bucket, dataset, a service account
# with the roles that it uses and no others, and the link to the Kubernetes account of the chart.
#
#   deploy/setup.sh PROJECT BUCKET [REGION [BIGQUERY_LOCATION]]
#
# Running it again changes nothing. It creates no key: pods use Workload Identity.
set -euo pipefail

if [[ $# -lt 2 || $# -gt 4 ]]; then
  sed -n '2,7p' "$0" >&2
  exit 2
fi

project=$1
bucket=$2
region=${3:-us-central1}
bigquery_location=${4:-US}
dataset=${GENAIOPS_DATASET:-genaiops}
namespace=${NAMESPACE:-dagster}
account=genaiops
member="serviceAccount:${account}@${project}.iam.gserviceaccount.com"

say() { printf '\n== %s\n' "$1"; }

say "APIs"
gcloud services enable --project "$project" \
  aiplatform.googleapis.com bigquery.googleapis.com storage.googleapis.com \
  iamcredentials.googleapis.com

say "Bucket gs://${bucket}"
if ! gcloud storage buckets describe "gs://${bucket}" --project "$project" >/dev/null 2>&1; then
  gcloud storage buckets create "gs://${bucket}" --project "$project" --location "$region" \
    --uniform-bucket-level-access --public-access-prevention
fi

say "Dataset ${project}:${dataset}"
if ! bq --project_id "$project" show --dataset "${project}:${dataset}" >/dev/null 2>&1; then
  bq --project_id "$project" --location "$bigquery_location" mk --dataset "${project}:${dataset}"
fi

say "Service account ${account}"
email="${account}@${project}.iam.gserviceaccount.com"
if ! gcloud iam service-accounts describe "$email" --project "$project" >/dev/null 2>&1; then
  gcloud iam service-accounts create "$account" --project "$project" \
    --display-name "genaiops_dagster"
fi

say "Roles"
# On the bucket alone: objects, not the bucket's settings.
gcloud storage buckets add-iam-policy-binding "gs://${bucket}" \
  --member "$member" --role roles/storage.objectUser >/dev/null
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

say "Done; to install, with the values of this project:"
cat <<COMMANDS
sed -e 's/PROJECT/${project}/; s/REGION/${region}/; s/BUCKET/${bucket}/; s/VERSION/latest/' \\
  deploy/values.yaml > values.${project}.yaml
helm upgrade --install dagster dagster/dagster --namespace ${namespace} --create-namespace \\
  -f values.${project}.yaml
COMMANDS
