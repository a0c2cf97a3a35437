# Makes r.json: what R's packages find in times.csv. Rscript r.R; needs survival, cmprsk, prodlim,
# metafor and jsonlite.
library(survival)
library(cmprsk)
library(prodlim)
suppressMessages(library(metafor))

times <- read.csv("times.csv")
event <- times$status == 1
curve <- summary(survfit(Surv(days, event) ~ 1, times, conf.type = "log-log"), censored = TRUE)
log_rank <- survdiff(Surv(days, event) ~ group, times)
cox <- coxph(Surv(days, event) ~ x + (group == "b"), times, ties = "efron")
# The test of 1994, which survival made before its version 3, of times without ties: the scaled
# Schoenfeld residuals against the ranks of the times.
times$untied <- times$days + seq_len(nrow(times)) / 1000
untied <- coxph(Surv(untied, event) ~ x + (group == "b"), times)
residuals <- residuals(untied, "scaledsch")
ranks <- seq_len(nrow(residuals)) - (nrow(residuals) + 1) / 2
chisq <- colSums(ranks * residuals)^2 / (nrow(residuals) * diag(vcov(untied)) * sum(ranks^2))
incidence <- cuminc(times$days, times$status, cencode = 0)
at <- c(100, 365, 730, 1096)
shares <- timepoints(incidence, at)
reverse <- quantile(prodlim(Hist(days, event) ~ 1, times, reverse = TRUE))
sites <- data.frame(successes = c(36, 5, 17, 40), n = c(57, 20, 31, 44))
model <- rma(measure = "PLO", xi = successes, ni = n, data = sites, method = "DL")
packages <- c("survival", "cmprsk", "prodlim", "metafor")
found <- list(
  versions = c(list(R = paste(R.version$major, R.version$minor, sep = ".")),
               setNames(lapply(packages, function(one) as.character(packageVersion(one))), packages)),
  kaplan_meier = list(days = curve$time, at_risk = curve$n.risk, survival = curve$surv,
                      lower = curve$lower, upper = curve$upper),
  log_rank = pchisq(log_rank$chisq, 2, lower.tail = FALSE),
  cox = list(ratio = unname(exp(coef(cox))), lower = unname(exp(confint(cox))[, 1]),
             upper = unname(exp(confint(cox))[, 2]),
             p = unname(summary(cox)$coefficients[, "Pr(>|z|)"]),
             proportional_untied = unname(pchisq(chisq, 1, lower.tail = FALSE))),
  incidence = list(days = at, event = unname(shares$est[1, ]), death = unname(shares$est[2, ]),
                   variance = unname(shares$var[1, ])),
  follow_up_median = unname(reverse[[1]]$quantile[reverse[[1]]$q == 0.5]),
  random_effects = list(estimate = plogis(model$b[1]), lower = plogis(model$ci.lb),
                        upper = plogis(model$ci.ub), tau2 = model$tau2, i2 = model$I2 / 100,
                        q = model$QE, p = model$QEp)
)
writeLines(jsonlite::toJSON(found, auto_unbox = TRUE, digits = 12, pretty = TRUE), "r.json")
