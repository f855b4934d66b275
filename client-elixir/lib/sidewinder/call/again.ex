defmodule Sidewinder.Call.Again do
  @moduledoc """
  Whether a call is tried again, and when. Pure but for one question to the lease: the clock and the dice are given.

  Two things are tried again, and nothing else ever:

  - What did not run (`ran: :no`), where the daemon says after what time trying again is sensible. Each pause is twice the
    one before, and up to half of it again at random, so that callers who were refused together do not come back together.
  - What was refused because of its lease, once, as soon as there is another lease. No pause, and no try is used up. Where
    there are several daemons, each may have ended its lease while this BEAM stood still: it goes to the next one, and
    that often at most.
  """

  alias Sidewinder.{Error, Lease}
  alias Sidewinder.Call.Ask

  @pause_min 10
  @pause_max 5_000
  @about_lease [:lease_expired, :stale_epoch, :lease_required]

  @renewals %{one: 1, each: 8, none: 0}

  @type tries :: %{tried: non_neg_integer, renewed: non_neg_integer}

  @doc "No try yet."
  @spec none() :: tries
  def none, do: %{tried: 0, renewed: 0}

  @doc "What is to be done about an error: another try under this lease, at once or after a pause; or nothing."
  @spec decide(Ask.t(), Error.t(), Lease.used(), tries) ::
          {:again, :at_once | pos_integer, Lease.under(), tries} | {:stop, Error.t()}
  def decide(ask, %Error{reason: reason, ran: :no} = error, said, tries) when reason in @about_lease do
    with true <- tries.renewed < @renewals[ask.client.leases],
         {:ok, newer} when newer != nil <- Lease.newer(ask.client, said, ask.deadline) do
      {:again, :at_once, newer, %{tries | renewed: tries.renewed + 1}}
    else
      _ -> {:stop, error}
    end
  end

  def decide(ask, error, said, tries) do
    case pause(error, tries.tried, ask.retries, left(ask.deadline), :rand.uniform()) do
      nil -> {:stop, error}
      pause -> {:again, pause, under(said), %{tries | tried: tries.tried + 1}}
    end
  end

  defp under({:each, _, _}), do: :each
  defp under(said), do: said

  defp left(:infinity), do: :infinity
  defp left(deadline), do: deadline - System.monotonic_time(:millisecond)

  @doc """
  Milliseconds before the next try, or `nil`: this error is the answer. `dice` is in 0.0..1.0.

      iex> full = %Sidewinder.Error{reason: :queue_full, ran: :no, retry_after: 100}
      iex> Sidewinder.Call.Again.pause(full, 1, 4, 10_000, 0.0)
      200
      iex> Sidewinder.Call.Again.pause(full, 4, 4, 10_000, 0.0)
      nil
      iex> Sidewinder.Call.Again.pause(full, 0, 4, 90, 0.0)
      nil
  """
  @spec pause(Error.t(), non_neg_integer, non_neg_integer, integer | :infinity, float) :: nil | pos_integer
  def pause(error, tried, allowed, left, dice) do
    if Error.retry?(error) and tried < allowed do
      whole = min(max(error.retry_after, @pause_min) * Bitwise.bsl(1, min(tried, 20)), @pause_max)
      wait = round(whole * (1 + dice / 2))
      if left == :infinity or wait < left, do: wait
    end
  end
end
