defmodule Sidewinder.Call.Again do
  @moduledoc """
  Whether a call is tried again, and when. Pure but for one question to the lease: the clock and the dice are given.

  Two things are tried again, and nothing else ever:

  - What did not run (`ran: :no`), where the daemon says after what time trying again is sensible. Each pause is twice the
    one before, and up to half of it again at random, so that callers who were refused together do not come back together.
  - What was refused because of its lease, once, as soon as there is another lease. No pause, and no try is used up.
  """

  alias Sidewinder.{Error, Lease}
  alias Sidewinder.Call.Ask

  @pause_min 10
  @pause_max 5_000
  @about_lease [:lease_expired, :stale_epoch, :lease_required]

  @type tries :: %{tried: non_neg_integer, renewed: boolean}

  @doc "No try yet."
  @spec none() :: tries
  def none, do: %{tried: 0, renewed: false}

  @doc "What is to be done about an error: another try under this lease, at once or after a pause; or nothing."
  @spec decide(Ask.t(), Error.t(), nil | Lease.said(), tries) ::
          {:again, :at_once | pos_integer, nil | Lease.said(), tries} | {:stop, Error.t()}
  def decide(ask, %Error{reason: reason, ran: :no} = error, said, %{renewed: false} = tries)
      when reason in @about_lease do
    with true <- ask.client.leased,
         {:ok, {_, _} = newer} <- Lease.newer(ask.client, said, ask.deadline) do
      {:again, :at_once, newer, %{tries | renewed: true}}
    else
      _ -> {:stop, error}
    end
  end

  def decide(ask, error, said, tries) do
    case pause(error, tries.tried, ask.retries, left(ask.deadline), :rand.uniform()) do
      nil -> {:stop, error}
      pause -> {:again, pause, said, %{tries | tried: tries.tried + 1}}
    end
  end

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
