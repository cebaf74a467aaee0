#include "compiler/ir/error.h"
#include "compiler/kernels/region.h"
#include "compiler/kernels/template.h"
namespace sylvite {
KernelBody conv_template(TemplateInput &) { SYLVITE_CHECK(false); }
}
