/* Opens the model and runs it on one sentence of two tokens. */
#include <bert/bert.h>
#include <stdio.h>

int main(void) {
  char message[512] = "";
  sylvite_model *model = NULL;
  sylvite_context *context = NULL;
  if (bert_open(&model, message, sizeof message) != SYLVITE_OK ||
      sylvite_context_create(model, NULL, &context, message, sizeof message) != SYLVITE_OK) {
    fprintf(stderr, "%s\n", message);
    return 1;
  }
  int64_t ids[2] = {1, 2}, mask[2] = {1, 1}, types[2] = {0, 0};
  sylvite_tensor inputs[3] = {{NULL, SYLVITE_I64, 2, {1, 2}}};
  inputs[1] = inputs[2] = inputs[0];
  inputs[bert_input_input_ids].data = ids;
  inputs[bert_input_attention_mask].data = mask;
  inputs[bert_input_token_type_ids].data = types;
  sylvite_tensor outputs[4];
  if (sylvite_run(context, inputs, 3, outputs, sylvite_model_output_count(model)) != SYLVITE_OK) {
    fprintf(stderr, "%s\n", sylvite_context_error(context));
    return 1;
  }
  const sylvite_tensor *hidden = &outputs[bert_output_last_hidden_state];
  printf("[%lld, %lld, %lld]\n", (long long)hidden->dims[0], (long long)hidden->dims[1],
         (long long)hidden->dims[2]);
  sylvite_context_destroy(context);
  sylvite_model_close(model);
  return 0;
}
